package mysqltest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// Kind is whose server it is.
type Kind string

const (
	MariaDB Kind = "MariaDB" // from PATH
	MySQL   Kind = "MySQL"   // from the folder that Folder names
)

// Kinds are all of them.
var Kinds = []Kind{MariaDB, MySQL}

// Folder is the variable that names the folder with MySQL's mysqld, mysqldump and mysql, as .ci/mysql makes it. On
// PATH these names are often MariaDB's.
const Folder = "BACKUPBUS_TEST_MYSQL"

// ErrMissing says that there is no server to start on this machine.
var ErrMissing = errors.New("no server to start")

// Dumper is the name of the kind's dump program.
func (k Kind) Dumper() string {
	if k == MySQL {
		return "mysqldump"
	}
	return "mariadb-dump"
}

// Client is the name of the kind's client program.
func (k Kind) Client() string {
	if k == MySQL {
		return "mysql"
	}
	return "mariadb"
}

func (k Kind) daemon() string {
	if k == MySQL {
		return "mysqld"
	}
	return "mariadbd"
}

// options of a server that the other kind does not have, or has with another default.
func (k Kind) options() []string {
	if k == MySQL {
		return []string{"--mysqlx=OFF", "--secure-file-priv=NULL", "--innodb-redo-log-capacity=64M", "--innodb-doublewrite=OFF", "--cte-max-recursion-depth=1000000"}
	}
	return []string{"--max-recursive-iterations=1000000"}
}

// Programs are where an executor finds those of the kind that are not on PATH.
func (k Kind) Programs() tool.Programs {
	if k != MySQL {
		return tool.Programs{}
	}
	all := tool.Programs{}
	for _, name := range []string{k.daemon(), k.Dumper(), k.Client()} {
		all[name] = filepath.Join(os.Getenv(Folder), name)
	}
	return all
}

// Path is where a program of the kind lies, its name alone if that is on PATH.
func (k Kind) Path(name string) string {
	if path := k.Programs()[name]; path != "" {
		return path
	}
	return name
}

// Find sees that the kind is there.
func (k Kind) Find() error {
	if k == MySQL {
		if os.Getenv(Folder) == "" {
			return fmt.Errorf("%w: set %s to the folder that .ci/mysql makes", ErrMissing, Folder)
		}
		for _, path := range k.Programs() {
			if _, err := exec.LookPath(path); err != nil {
				return fmt.Errorf("%s: %w", Folder, err)
			}
		}
		return nil
	}
	for _, name := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %w", ErrMissing, err)
		}
	}
	return nil
}

// Missing skips a test for want of a server. It fails where there ought to be one: MariaDB where everything has to be
// tested (BACKUPBUS_REQUIRE_SERVERS=1), MySQL where Folder is set.
func (k Kind) Missing(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, ErrMissing) || k == MariaDB && os.Getenv("BACKUPBUS_REQUIRE_SERVERS") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}
