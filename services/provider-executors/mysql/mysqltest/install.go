package mysqltest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// install makes the files of an empty server in dir/data, whose root has no password.
func (k Kind) install(ctx context.Context, dir string) error {
	data := filepath.Join(dir, "data")
	install := exec.CommandContext(ctx, "mariadb-install-db", append([]string{"--no-defaults", "--datadir=" + data,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"}, asRoot()...)...)
	if k == MySQL {
		copied, err := copyEmpty(data)
		if copied || err != nil {
			return err
		}
		install = exec.CommandContext(ctx, k.Path("mysqld"), append([]string{"--no-defaults", "--datadir=" + data, "--initialize-insecure"}, asRoot()...)...)
	}
	// A server that starts removes temporary tables from its folder for them, those of others too.
	install.Dir, install.Env = "/", append(os.Environ(), "TMPDIR="+dir)
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("make a server: %w: %s", err, out)
	}
	return nil
}

// copyEmpty copies the files that .ci/mysql has made, if they are there: making them takes MySQL three seconds.
func copyEmpty(data string) (bool, error) {
	from := os.DirFS(filepath.Join(filepath.Dir(os.Getenv(Folder)), "empty"))
	if _, err := fs.Stat(from, "."); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err := os.CopyFS(data, from); err != nil {
		return false, fmt.Errorf("copy an empty server: %w", err)
	}
	return true, os.Remove(filepath.Join(data, "auto.cnf")) // the server's identity
}
