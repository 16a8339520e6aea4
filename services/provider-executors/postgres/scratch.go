package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

var spaceForServer = engine.Place{
	Name: "the scratch folder of the executor",
	Full: "a scratch server needs about twice the size of the databases: free space there, or ask for proof CHECKED",
}

const (
	scratchUser  = "backupbus_scratch"
	scratchStart = 2 * time.Minute // of which a large physical copy's recovery is part
	scratchSelf  = 300 << 20       // what an empty server and its log need
	maxSocket    = 107             // bytes of a socket's path
)

// serverPrograms make and run a server.
type serverPrograms struct{ initdb, postgres program }

func (e *Engine) scratchPrograms(ctx context.Context, major int) (p serverPrograms, err error) {
	if _, err = e.account(); err != nil {
		return p, err
	}
	if p.initdb, err = e.sameProgram(ctx, "initdb", major); err != nil {
		return p, err
	}
	p.postgres, err = e.sameProgram(ctx, "postgres", major)
	return p, err
}

// scratchServer is a server on a socket in a private folder, without TCP. Its data are thrown away, so it
// syncs nothing.
type scratchServer struct {
	server
	data    string
	short   string // folder of the socket, if it is not in the scratch folder
	done    chan struct{}
	cancel  context.CancelFunc
	outcome error // when done
}

// TryScratch implements engine.ScratchTrier: the account of scratch servers has to get there.
func (e *Engine) TryScratch(dir string) error {
	as, err := e.account()
	if err != nil {
		return err
	}
	_, err = handOver(dir, "try", as)
	return err
}

// newScratch makes an empty server in dir.
func (e *Engine) newScratch(ctx context.Context, p serverPrograms, dir string) (*scratchServer, error) {
	as, err := e.account()
	if err != nil {
		return nil, err
	}
	home, err := handOver(dir, "server", as)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(home, "data")
	_, err = tool.Run(ctx, tool.Command{Path: p.initdb.path, As: as, Dir: home, Working: engine.Alive(ctx), Args: []string{
		"--pgdata=" + data, "--username=" + scratchUser, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
	}})
	if err != nil {
		return nil, fmt.Errorf("make a scratch server: %w", toolFailure(err, "no scratch server could be made: the executor's log has the details"))
	}
	return e.startScratch(ctx, p.postgres, home, data, scratchUser, "-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "autovacuum=off")
}

// startScratch runs a server over data and returns when it takes connections.
func (e *Engine) startScratch(ctx context.Context, postgres program, home, data, user string, more ...string) (*scratchServer, error) {
	as, err := e.account()
	if err != nil {
		return nil, err
	}
	s := &scratchServer{data: data, done: make(chan struct{}), server: server{host: home, port: 5432, user: user, mode: events.TLSDisable, timeout: e.config.ConnectTimeout}}
	if len(home)+len("/.s.PGSQL.5432") > maxSocket {
		if s.short, err = shortFolder(as); err != nil {
			return nil, err
		}
		s.host = s.short
	}
	args := append([]string{
		"-D", data, "-p", "5432", "-c", "listen_addresses=", "-c", "unix_socket_directories=" + s.host, "-c", "unix_socket_permissions=0700",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "shared_buffers=32MB", "-c", "max_wal_size=256MB",
		"-c", "logging_collector=off", "-c", "log_destination=stderr", "-c", "ssl=off", "-c", "archive_mode=off",
	}, more...)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx)) // stop ends it in an order of its own
	s.cancel = cancel
	go func() {
		defer close(s.done)
		said, err := tool.Run(running, tool.Command{Path: postgres.path, Args: args, As: as, Dir: home, Working: engine.Alive(ctx)})
		s.outcome = fmt.Errorf("scratch server: %w: %s", errors.Join(err, errEnded), said.Stderr)
	}()
	if err := s.wait(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

var errEnded = errors.New("it has ended")

func (s *scratchServer) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, scratchStart)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := s.connect(ctx, "template1", "backupbus-scratch")
		if err == nil {
			bye(ctx, c)
			return nil
		}
		select {
		case <-tick.C:
		case <-s.done:
			return fmt.Errorf("%w: %w", internal("the scratch server of the executor does not start: the executor's log has what it said"), s.outcome)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// stop ends the server without ceremony and waits for it.
func (s *scratchServer) stop() error {
	select {
	case <-s.done:
	default:
		s.quit()
	}
	s.cancel()
	<-s.done
	if s.short != "" {
		return os.RemoveAll(s.short)
	}
	return nil
}

// quitTime is how long an immediate shutdown may take: the server itself kills its children after 5 s.
const quitTime = 8 * time.Second

// quit asks for an immediate shutdown. The children are in groups of their own, so killing the server alone
// would leave those that work.
func (s *scratchServer) quit() {
	pid, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		return
	}
	first, _, _ := bytes.Cut(pid, []byte("\n"))
	n, err := strconv.Atoi(string(first))
	if err != nil || n <= 1 || syscall.Kill(n, syscall.SIGQUIT) != nil {
		return
	}
	limit := time.NewTimer(quitTime)
	defer limit.Stop()
	select {
	case <-s.done:
	case <-limit.C:
	}
}

// shortFolder is a private folder for a socket.
func shortFolder(as *tool.Account) (string, error) {
	dir, err := os.MkdirTemp("", "bb-")
	if err == nil && as != nil {
		err = os.Chown(dir, int(as.UID), int(as.GID))
	}
	if err != nil {
		return "", engine.Place{Name: "the folder for temporary files of the executor"}.Failure(err)
	}
	return dir, nil
}

// run runs statements one by one.
func run(ctx context.Context, c *pgx.Conn, all ...string) error {
	for _, statement := range all {
		if _, err := c.Exec(ctx, statement); err != nil {
			return failure("run a statement", err)
		}
	}
	return nil
}
