// Package mysqltest starts real servers of MariaDB and MySQL for tests and benchmarks: on a private socket in a
// temporary folder, without network, fast and not durable.
package mysqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// RootPassword is that of the account root.
const RootPassword = "root-of-a-test"

// startTime is how long a server may take to answer its first question.
const startTime = time.Minute

// Server is a running server.
type Server struct {
	Kind    Kind
	Socket  string   // where it listens
	DataDir string   // its files
	PID     int      // of the process
	options []string // of the command line
	dir     string
	root    *sql.DB

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts a server for one test, with options of its kind beside the usual ones. Without a server on
// the machine see Kind.Missing.
func Start(t testing.TB, kind Kind, options ...string) *Server {
	t.Helper()
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := Run(context.Background(), kind, dir, options...)
	if err != nil {
		kind.Missing(t, err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Dir makes a folder for a server.
func Dir() (string, error) { return executortest.MemoryDir("bbmy") }

// Run makes a server in an empty folder and waits until it answers. Stop it.
func Run(ctx context.Context, kind Kind, dir string, options ...string) (*Server, error) {
	if err := kind.Find(); err != nil {
		return nil, err
	}
	s := newServer(kind, dir, options)
	if err := kind.install(ctx, dir); err != nil {
		return nil, err
	}
	if err := s.Restart(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Adopt starts a server on files that lie in dir/data, whose root has RootPassword. Stop it.
func Adopt(ctx context.Context, kind Kind, dir string, options ...string) (*Server, error) {
	s := newServer(kind, dir, options)
	var err error
	if s.root, err = s.Open("root", RootPassword, ""); err != nil {
		return nil, err
	}
	if err := s.Restart(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func newServer(kind Kind, dir string, options []string) *Server {
	return &Server{Kind: kind, Socket: filepath.Join(dir, "s"), DataDir: filepath.Join(dir, "data"), options: options, dir: dir}
}

// asRoot lets the server run as root where the tests do.
func asRoot() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// Restart starts the server, after Kill or Stop again, and waits until it answers.
func (s *Server) Restart(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append([]string{
		"--no-defaults", "--datadir=" + s.DataDir, "--socket=" + s.Socket, "--pid-file=" + filepath.Join(s.dir, "pid"),
		"--tmpdir=" + s.dir,
		"--skip-networking", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0",
		"--innodb-buffer-pool-size=128M", "--innodb-fast-shutdown=2", "--max-connections=200", "--log-bin-trust-function-creators=1",
	}, append(s.Kind.options(), asRoot()...)...)
	cmd := exec.Command(s.Kind.Path(s.Kind.daemon()), append(args, s.options...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	dieWithUs(cmd)
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		// The signal is sent when the thread that started the child ends, and Go ends threads that nobody holds.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // who stopped it knows why
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.mu.Lock()
	s.cmd, s.exited, s.PID = cmd, exited, cmd.Process.Pid
	s.mu.Unlock()
	return s.await(ctx, exited)
}

func (s *Server) await(ctx context.Context, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.login(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-exited:
			said, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("the server ended: %s", said)
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the server does not answer: %w", err), s.stop())
		}
	}
}

// login opens the pool of root, the first time without a password, which it then sets.
func (s *Server) login(ctx context.Context) error {
	if s.root != nil {
		return s.root.PingContext(ctx)
	}
	first, err := s.Open("root", "", "")
	if err != nil {
		return err
	}
	defer first.Close()
	if _, err := first.ExecContext(ctx, "ALTER USER root@localhost IDENTIFIED BY '"+RootPassword+"'"); err != nil {
		return err
	}
	s.root, err = s.Open("root", RootPassword, "")
	return err
}

// Open opens a pool of connections of an account. Close it.
func (s *Server) Open(user, password, database string) (*sql.DB, error) {
	c := driver.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd, c.DBName = "unix", s.Socket, user, password, database
	c.MultiStatements, c.InterpolateParams, c.Logger = true, true, &driver.NopLogger{}
	connector, err := driver.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// Address is what an instance's config has: the socket.
func (s *Server) Address() string { return s.Socket }

// Root is a pool of root's connections, closed by Stop.
func (s *Server) Root() *sql.DB { return s.root }

// CreateUser makes an account with the privileges, each as `SELECT ON *.*`.
func (s *Server) CreateUser(ctx context.Context, name, password string, privileges ...string) error {
	account := "'" + name + "'@'%'"
	statements := []string{"CREATE USER " + account + " IDENTIFIED BY '" + strings.ReplaceAll(password, "'", "''") + "'"}
	for _, p := range privileges {
		statements = append(statements, "GRANT "+p+" TO "+account)
	}
	for _, st := range statements {
		if _, err := s.root.ExecContext(ctx, st); err != nil {
			return fmt.Errorf("make the account %s: %w", name, err)
		}
	}
	return nil
}

// Kill ends the server as a crash does.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Stop ends the server and closes Root. It may be called twice.
func (s *Server) Stop() { _ = s.stop() }

func (s *Server) stop() error {
	s.signal(syscall.SIGTERM)
	if s.root == nil {
		return nil
	}
	return s.root.Close()
}

// signal waits for the end of the process.
func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	cmd, exited := s.cmd, s.exited
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(sig)
	select {
	case <-exited:
	case <-time.After(startTime):
		_ = cmd.Process.Kill()
		<-exited
	}
}
