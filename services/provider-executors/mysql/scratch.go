package mysql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// scratchServer is a server of our own on a private socket, for the length of a proof.
type scratchServer struct {
	*server
	options string // option file of its clients
	short   string // folder of the socket, if it is not in the scratch folder
	cancel  context.CancelFunc
	ended   chan struct{}
	err     error // of the process; read after ended
}

const (
	// maxSocket bounds the path of a socket.
	maxSocket = 100
	// scratchStart is how long a server may take to be there, recovery included.
	scratchStart = 5 * time.Minute
	// scratchOwn is what an empty server needs on the disk.
	scratchOwn = 256 << 20
)

// bootScratch makes an empty server in dir.
func (e *Engine) bootScratch(ctx context.Context, dir string, mariadb bool) (*scratchServer, error) {
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(scratchFiles(dir), 0o700); err != nil {
		return nil, fmt.Errorf("folder of the scratch server: %w", err)
	}
	s := &server{mariadb: mariadb}
	daemon, err := e.Programs.Find(s.names("mariadbd", "mysqld")...)
	if err != nil {
		return nil, err
	}
	install := tool.Command{Path: daemon, Args: []string{"--no-defaults", "--initialize-insecure", "--datadir=" + data,
		"--skip-log-bin", "--innodb-doublewrite=OFF", "--innodb-flush-log-at-trx-commit=0", "--loose-innodb-redo-log-capacity=8M"}}
	if mariadb {
		maker, err := e.Programs.Find("mariadb-install-db", "mysql_install_db")
		if err != nil {
			return nil, err
		}
		install = tool.Command{Path: maker, Args: []string{"--no-defaults", "--datadir=" + data,
			"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"}}
	}
	install.Args = append(install.Args, asRoot()...)
	install.Working = engine.Alive(ctx)
	install.Env = []string{"TMPDIR=" + scratchFiles(dir)}
	if said, err := tool.Run(ctx, install); err != nil {
		return nil, scratchFailure(fmt.Errorf("make a server: %w: %s", err, said.Stderr))
	}
	return e.startScratch(ctx, daemon, dir)
}

// startScratch starts a server on the files in dir/data.
func (e *Engine) startScratch(ctx context.Context, daemon, dir string, more ...string) (*scratchServer, error) {
	socket, short, err := socketIn(dir)
	if err != nil {
		return nil, err
	}
	files := scratchFiles(dir)
	if err := os.MkdirAll(files, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the scratch server: %w", err)
	}
	args := append([]string{
		"--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--socket=" + socket, "--pid-file=" + filepath.Join(dir, "pid"),
		"--tmpdir=" + files, "--secure-file-priv=" + files, "--local-infile=0", "--skip-networking", "--skip-log-bin", "--event-scheduler=OFF",
		"--max-connections=10", "--max-allowed-packet=1G", "--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0",
		"--innodb-doublewrite=OFF", "--innodb-strict-mode=OFF", "--innodb-fast-shutdown=2", "--performance-schema=OFF",
		"--loose-mysqlx=OFF", // MySQL's second protocol has a socket in the machine's folder
	}, append(asRoot(), more...)...)
	alive := engine.Alive(ctx) // what is asked of the server says nothing before its end
	ctx, cancel := context.WithCancel(ctx)
	s := &scratchServer{cancel: cancel, ended: make(chan struct{}), options: clientOptions(socket, "root", ""), short: short}
	go func() {
		defer close(s.ended)
		said, err := tool.Run(ctx, tool.Command{Path: daemon, Args: args, Working: alive})
		s.err = fmt.Errorf("scratch server: %w: %s", err, said.Stderr)
	}()
	if err := s.await(ctx, endpoint{network: "unix", address: socket, user: "root", timeout: e.config.ConnectTimeout}); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// socketIn is where the socket lies: in dir, or in a private folder of its own where that path is too long.
func socketIn(dir string) (socket, short string, err error) {
	if socket = filepath.Join(dir, "s"); len(socket) <= maxSocket {
		return socket, "", nil
	}
	if short, err = os.MkdirTemp("", "backupbus-"); err != nil { // 0700
		return "", "", fmt.Errorf("folder for a socket: %w", err)
	}
	return filepath.Join(short, "s"), short, nil
}

// scratchFiles is for temporary tables: a server that starts removes those that it finds, of any server,
// so it must not be the machine's folder. And SQL of the copy may read and write files in here alone.
func scratchFiles(dir string) string { return filepath.Join(dir, "files") }

// asRoot: the servers refuse to run as root unless told. The folder is private to the executor's user, so
// no other account could serve it.
func asRoot() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// await asks until the server answers.
func (s *scratchServer) await(ctx context.Context, p endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, scratchStart)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		srv, err := open(ctx, p, scratchQuery)
		if err == nil {
			s.server = srv
			return nil
		}
		select {
		case <-again.C:
		case <-s.ended:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return scratchFailure(s.err)
		case <-ctx.Done():
			return fmt.Errorf("start of the scratch server: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// scratchQuery bounds one question: the count of a table goes through all of it.
const scratchQuery = time.Hour

// stop ends the server and waits for its end.
func (s *scratchServer) stop() error {
	var err error
	if s.server != nil {
		err = s.close()
	}
	s.cancel()
	<-s.ended
	if s.short != "" {
		err = errors.Join(err, os.RemoveAll(s.short))
	}
	return err
}

func scratchFailure(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", unavailable("the scratch server, in which a copy is proven, did not start where the executor runs: see the executor's log; until it does, ask for proof CHECKED"), err)
}
