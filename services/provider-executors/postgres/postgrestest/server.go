// Package postgrestest runs real PostgreSQL servers. It is for tests and measurements.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// Superuser is the role that every server has; over the socket it needs no password.
const Superuser = "postgres"

// ErrMissing says that PostgreSQL is not installed, or that there is no account to run it.
var ErrMissing = errors.New("PostgreSQL's initdb and postgres are not installed, or root has no account named postgres to run them")

// Server is a running server. It syncs nothing to disk.
type Server struct {
	Address string // of the socket: an absolute path
	TCP     string // 127.0.0.1 and its port
	Dir     string // of all that is its own

	pid    int
	cancel context.CancelFunc
	done   chan struct{}
	err    error // when done
}

// settings make a server fast and small.
var settings = []string{
	"fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB", "max_wal_size=256MB",
	"max_locks_per_transaction=256", "logging_collector=off", "unix_socket_permissions=0777", "timezone=UTC", "lc_messages=C",
}

// access lets the superuser in over the socket, and asks everybody else for a password.
const access = `local all         postgres              trust
local replication postgres              trust
local all         all                   scram-sha-256
local replication all                   scram-sha-256
host  all         all      127.0.0.1/32 scram-sha-256
host  replication all      127.0.0.1/32 scram-sha-256
`

// Run starts a server in a folder of its own below dir, which the account postgres has to be able to
// reach if root calls. more are settings, name=value. Stop it.
func Run(ctx context.Context, dir string, more ...string) (*Server, error) {
	initdb, as, err := find("initdb")
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(dir, "pg-")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chmod(home, 0o755), own(home, as)); err != nil { // so that every user reaches the socket
		return nil, err
	}
	data := filepath.Join(home, "data")
	_, err = tool.Run(ctx, tool.Command{Path: initdb, As: as, Dir: home, Args: []string{
		"--pgdata=" + data, "--username=" + Superuser, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
	}})
	if err == nil {
		err = os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(access), 0o644) //nolint:gosec // no secret in it
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	return Open(ctx, home, data, more...)
}

// Open starts a server over a data folder that is there.
func Open(ctx context.Context, home, data string, more ...string) (*Server, error) {
	postgres, as, err := find("postgres")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{
		Address: filepath.Join(home, fmt.Sprintf(".s.PGSQL.%d", port)), TCP: fmt.Sprintf("127.0.0.1:%d", port), Dir: home,
		done: make(chan struct{}),
	}
	args := []string{"-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + home}
	for _, set := range slices.Concat(settings, more) {
		args = append(args, "-c", set)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go func() {
		defer close(s.done)
		said, err := tool.Run(running, tool.Command{Path: postgres, Args: args, As: as, Dir: home})
		s.err = fmt.Errorf("postgres has ended: %w: %s", err, said.Stderr)
	}()
	if err := s.ready(ctx, data); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// startTime bounds the start of a server.
const startTime = time.Minute

func (s *Server) ready(ctx context.Context, data string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := s.Connect(ctx, "template1")
		if err == nil {
			_ = c.Close(ctx)
			s.pid, err = readPID(data)
			return err
		}
		select {
		case <-tick.C:
		case <-s.done:
			return s.err
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// Connect opens a session of the superuser.
func (s *Server) Connect(ctx context.Context, database string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig("host=localhost user=none sslmode=disable password=none")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(s.TCP)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	c.Host, c.Port, c.User, c.Password, c.Database = filepath.Dir(s.Address), uint16(n), Superuser, "", database
	return pgx.ConnectConfig(ctx, c)
}

// Kill ends the server and all its children as a power cut would, and returns when they are gone. The
// folder stays.
func (s *Server) Kill() {
	family := append(children(s.pid), s.pid)
	for _, pid := range slices.Backward(family) {
		if pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	s.cancel()
	<-s.done
}

// Stop ends the server at once and removes its folder.
func (s *Server) Stop() error {
	if s.pid > 1 {
		select {
		case <-s.done:
		default:
			_ = syscall.Kill(s.pid, syscall.SIGQUIT) // an immediate shutdown
			limit := time.NewTimer(10 * time.Second)
			defer limit.Stop()
			select {
			case <-s.done:
			case <-limit.C:
				s.Kill()
			}
		}
	}
	s.cancel()
	<-s.done
	return os.RemoveAll(s.Dir)
}

// Halt ends the server in order and leaves its folder: what it holds is on disk.
func (s *Server) Halt() {
	_ = syscall.Kill(s.pid, syscall.SIGINT) // a fast shutdown
	<-s.done
}

func readPID(data string) (int, error) {
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	var pid int
	_, err = fmt.Sscan(string(b), &pid)
	return pid, err
}

// children are the processes whose parent is pid.
func children(pid int) []int {
	var all []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var child, parent int
		var name, state string
		if n, _ := fmt.Sscan(string(b), &child, &name, &state, &parent); n == 4 && parent == pid && pid > 1 {
			all = append(all, child)
		}
	}
	return all
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// find is a program of the newest version that is installed, and who runs it.
func find(name string) (string, *tool.Account, error) {
	path := ""
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		path = slices.MaxFunc(found, func(a, b string) int { return tool.ParseVersion(a).Major - tool.ParseVersion(b).Major })
	} else if found, err := exec.LookPath(name); err == nil {
		path = found
	}
	if path == "" {
		return "", nil, ErrMissing
	}
	if os.Geteuid() != 0 {
		return path, nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return "", nil, ErrMissing
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return path, &tool.Account{UID: uint32(uid), GID: uint32(gid)}, errors.Join(err1, err2) //nolint:gosec // ids of the system
}

func own(dir string, as *tool.Account) error {
	if as == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(as.UID), int(as.GID))
	})
}
