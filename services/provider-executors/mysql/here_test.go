package mysql_test

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// TestPhysical_ServerBehindATunnelIsRejected: what answers at the socket is not a process on those files.
func TestPhysical_ServerBehindATunnelIsRejected(t *testing.T) {
	t.Parallel()
	w, j := physical(t)
	ln, err := net.Listen("unix", filepath.Join(filepath.Dir(w.store), "tunnel"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", w.srv.Socket)
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
			go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
		}
	}()
	j.Config.Address = ln.Addr().String()
	if f := w.failed(t, j, events.ProviderRejected, nothing); !strings.Contains(f.Message, "server's machine") {
		t.Errorf("message %q", f.Message)
	}
}

func TestPhysical_ByTCPOfThisMachine(t *testing.T) {
	t.Parallel()
	_, j := physical(t) // skips where the tools are missing
	port := freePort(t)
	srv := mysqltest.Start(t, mysqltest.MariaDB, "--skip-networking=0", "--bind-address=127.0.0.1", "--port="+port)
	w := newWorld(t, srv)
	j.Config.Address, j.Config.User, j.Config.CredentialRef = "127.0.0.1:"+port, "root", "env:ROOT"
	run(t, srv.Root(), "ALTER USER root@'127.0.0.1' IDENTIFIED BY '"+mysqltest.RootPassword+"'")
	executortest.Take(t, w.executor(t), j)
}

func TestPhysical_ToolThatIsKilledOrShortOfSpaceDoesNotBlameTheCopy(t *testing.T) {
	t.Parallel()
	killed := "case \"$*\" in *--prepare*) kill -9 $$;; esac\nexec $tool \"$@\""
	for name, c := range map[string]struct {
		of, does string
		want     events.Code
	}{
		"recovery killed": {"mariadb-backup", killed, events.ProviderUnavailable},
		"recovery full":   {"mariadb-backup", strings.Replace(killed, "kill -9 $$", "echo '[ERROR] InnoDB: Operating system error number 28 in a file operation.' >&2; exit 1", 1), events.StorageFull},
		"unpacker killed": {"mbstream", "kill -9 $$", events.ProviderUnavailable},
		"unpacker full":   {"mbstream", "echo 'Errcode: 28 \"No space left on device\"' >&2; exit 1", events.StorageFull},
		"unpacker fails":  {"mbstream", "exit 1", events.Corrupt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, j := physical(t)
			w.replace(t, c.of, c.does)
			_ = w.failed(t, j, c.want, nothing)
		})
	}
}
