package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

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
	f := &files{server: s, now: e.Now, unpacker: s.names("mbstream", "xbstream")[0]}
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
	return lacks(missing)
}

// filesHere sees that the server's files can be read from here, and adds up their sizes.
func (s *server) filesHere(ctx context.Context) (total int64, err error) {
	dir, err := s.one(ctx, "SELECT @@GLOBAL.datadir")
	if err != nil {
		return 0, failure(err)
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
		return 0, fmt.Errorf("%w: %w", rejected("a physical copy is made where the server's files are: run the executor on the server's machine as a user who may read them, or set the instance's method to LOGICAL"), err)
	}
	return total, nil
}

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
	r, err := newRelay(ctx, f.endpoint, false)
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
