package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

const (
	// filesObject is the part that a physical copy consists of.
	filesObject = "base.xbstream"
	// filesEnd is the last line that the tool says when all went well.
	filesEnd = "completed OK!"
)

// files is the source of a physical copy: the server's files by its own copying program.
type files struct {
	*server
	program  program
	unpacker string // name of the program that takes the stream apart
	marker   string // of the tool's sessions
	now      func() time.Time
	bytes    int64

	began    time.Time
	position string
	sessions []uint64
}

func (e *Engine) preparePhysical(ctx context.Context, s *server, j executor.Job) (engine.Source, error) {
	if j.Database != "" || len(j.Config.Databases) > 0 {
		return nil, rejected("a physical copy holds the whole server: ask for no single database and leave the instance's databases out, or set its method to LOGICAL")
	}
	f := &files{server: s, marker: backupMarker(j), now: e.Now, unpacker: s.names("mbstream", "xbstream")[0]}
	var err error
	if f.program, err = e.fitting(ctx, s, s.names("mariadb-backup", "xtrabackup")...); err != nil {
		return nil, err
	}
	if err := s.mayCopyFiles(ctx); err != nil {
		return nil, err
	}
	if err := s.hasRoom(ctx); err != nil {
		return nil, err
	}
	f.bytes, err = s.filesHere(ctx)
	return f, err
}

// copyPrivileges were found by taking one away after the other; MariaDB calls the last BINLOG MONITOR.
var copyPrivileges = []string{"RELOAD", "PROCESS", "LOCK TABLES", "REPLICATION CLIENT"}

// logStatus is the table in which MySQL tells the ends of its logs, since 8.0; xtrabackup reads it.
const logStatus = "log_status"

func (s *server) mayCopyFiles(ctx context.Context) error {
	held, err := s.grants(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, p := range copyPrivileges {
		if !held.global(p) && (p != "REPLICATION CLIENT" || !held.global("BINLOG MONITOR") && !held.global("SUPER")) {
			missing = append(missing, p)
		}
	}
	if !s.mariadb && s.version.Major >= 8 {
		if !held.global("BACKUP_ADMIN") {
			missing = append(missing, "BACKUP_ADMIN")
		}
		if !held.onTable("SELECT", "performance_schema", logStatus) {
			missing = append(missing, "SELECT on performance_schema."+logStatus)
		}
	}
	return lacks(missing)
}

// filesHere sees that the server's files are those that can be read from here, and adds up their sizes.
func (s *server) filesHere(ctx context.Context) (total int64, err error) {
	dir, err := s.one(ctx, "SELECT @@GLOBAL.datadir")
	if err != nil {
		return 0, failure(err)
	}
	if err := s.runsHere(ctx, dir); err != nil {
		return 0, err
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil && errors.Is(err, fs.ErrNotExist) && path != dir {
			return nil // a table that was dropped meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	if err != nil {
		return 0, elsewhere(err)
	}
	return total, nil
}

// runsHere proves that the process that answers is one of this machine and works on the files in dir. The path
// alone proves nothing: another server may have its files under the same one.
func (s *server) runsHere(ctx context.Context, dir string) error {
	if host, _, err := net.SplitHostPort(s.address); s.network != "unix" && (err != nil || !loopback(host)) {
		return elsewhere(errors.New("the address is neither a socket nor that of this machine"))
	}
	pid, err := s.peer(ctx)
	if err != nil {
		return elsewhere(err)
	}
	if pid > 1 {
		in, err := worksIn(pid, dir)
		switch {
		case err == nil && in:
			return nil
		case !errors.Is(err, fs.ErrPermission):
			return elsewhere(fmt.Errorf("process %d behind the socket works elsewhere: %s", pid, fmt.Sprint(err)))
		}
		if named, err := s.ownPID(ctx, dir); err != nil || named != pid {
			return elsewhere(fmt.Errorf("process %d behind the socket, %d in the server's file: %s", pid, named, fmt.Sprint(err)))
		}
		return nil
	}
	// The connection does not tell who answers: a tunnel, say. Then the process has to have been started when
	// the server says that it was.
	if pid, err = s.ownPID(ctx, dir); err != nil {
		return elsewhere(err)
	}
	if in, err := worksIn(pid, dir); err != nil || !in {
		return elsewhere(fmt.Errorf("process %d works elsewhere: %s", pid, fmt.Sprint(err)))
	}
	began, err := startOf(pid)
	if err != nil {
		return elsewhere(err)
	}
	said, err := strconv.ParseFloat(s.started, 64)
	if apart := began - said; err != nil || apart > startsApart || apart < -startsApart {
		return elsewhere(fmt.Errorf("process %d was started at %.0f, the server at %q: %s", pid, began, s.started, fmt.Sprint(err)))
	}
	return nil
}

// startsApart is how many seconds a server takes from its first moment to the one that it calls its start.
const startsApart = 10

func elsewhere(why error) error {
	return fmt.Errorf("%w: %w", rejected("a physical copy is made beside the server, and that it runs here, on files that can be read, cannot be seen: run the executor on the server's machine as root or the server's account, let the instance's address be the server's socket, or set its method to LOGICAL"), why)
}

// ownPID is the number that the server wrote into its file.
func (s *server) ownPID(ctx context.Context, dir string) (int, error) {
	file, err := s.one(ctx, "SELECT @@GLOBAL.pid_file")
	if err != nil {
		return 0, err
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// worksIn tells that a process has dir as its working folder, as the servers do. It is compared by what it is
// and not by its path, which a container may see in another way.
func worksIn(pid int, dir string) (bool, error) {
	there, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false, err
	}
	here, err := os.Stat(dir)
	if err != nil {
		return false, err
	}
	return os.SameFile(there, here), nil
}

// startOf is when a process was started, in seconds since 1970.
func startOf(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	machine, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	_, boot, ok := strings.Cut(string(machine), "\nbtime ")
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if !ok || len(fields) < 20 {
		return 0, errors.New("the system does not tell when a process was started")
	}
	boot, _, _ = strings.Cut(boot, "\n")
	up, err1 := strconv.ParseFloat(boot, 64)
	ticks, err2 := strconv.ParseFloat(fields[19], 64) // a hundred a second on every system that Go runs on
	return up + ticks/100, errors.Join(err1, err2)
}

// ScratchNeed implements engine.Scratching.
func (f *files) ScratchNeed(events.Proof) int64 { return f.bytes + f.bytes/4 + scratchOwn }

// Parts implements engine.Source.
func (f *files) Parts() []engine.Part {
	return []engine.Part{{Name: filesObject, Bytes: f.bytes, Stream: f.stream,
		Recipe: "| { mkdir restored && " + f.unpacker + " -x -C restored; } && " + f.program.name + " --prepare --target-dir=restored"}}
}

// About implements engine.Source.
func (f *files) About() engine.About {
	return engine.About{
		Kind: engine.Physical, EngineVersion: f.version.Text, ConsistencyTime: f.began, Position: f.position,
		Tool: archive.Tool{Name: f.program.name, Version: f.program.version.Text, Flags: []string{"--backup", "--stream=xbstream"}},
	}
}

// Close implements engine.Source.
func (f *files) Close() error {
	return errors.Join(f.endSessions(context.Background(), f.sessions), f.close())
}

var filesPosition = regexp.MustCompile(`binlog position: filename '([^']+)', position '(\d+)'(?:, GTID of the last change '([^']*)')?`)

// stream runs the tool, which logs in more than once.
func (f *files) stream(ctx context.Context, w io.Writer) (content archive.Content, err error) {
	r, err := newRelay(ctx, f.endpoint, f.marker, false)
	if err != nil {
		return content, err
	}
	defer func() {
		f.sessions = append(f.sessions, r.sessions()...)
		r.close()
	}()
	own, err := os.MkdirTemp("", "backupbus-") // for the tool's small files
	if err != nil {
		return content, fmt.Errorf("folder for the tool: %w", err)
	}
	defer os.RemoveAll(own)
	f.began = f.now()
	said, err := tool.Run(ctx, tool.Command{
		Path: f.program.path, Stdout: w, Files: []tool.File{{Content: r.options()}},
		Args: []string{"--defaults-file={0}", "--backup", "--stream=xbstream", "--target-dir=" + own, "--tmpdir=" + own},
	})
	switch {
	case err != nil && r.reason() != nil && ctx.Err() == nil:
		return content, errors.Join(failure(r.reason()), err)
	case err != nil:
		return content, ofTool(err)
	case !strings.HasSuffix(strings.TrimSpace(said.Stderr), filesEnd):
		return content, fmt.Errorf("%w: %s", unavailable("the tool ended without the mark that its copy is complete: try again, and see the executor's log"), said.Stderr)
	}
	if m := filesPosition.FindStringSubmatch(said.Stderr); m != nil {
		if f.position = m[3]; f.position == "" {
			f.position = m[1] + ":" + m[2]
		}
	}
	return content, nil
}
