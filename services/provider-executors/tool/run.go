package tool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Command is one run of a program.
type Command struct {
	Path   string
	Args   []string  // {0}, {1} … stand for the paths of Files
	Plain  []string  // further arguments, in which {0} stands for itself: names that others chose
	Env    []string  // NAME=value beside the fixed ones; {0} as in Args. Nothing secret
	Dir    string    // empty: /
	Stdin  io.Reader // nil: nothing. An *os.File is handed over: Run closes it. Any other reader must not block
	Stdout io.Writer // nil: thrown away. What a Passer gets need not be copied
	Files  []File    // what the child may read and nobody else
	As     *Account  // another user than the executor's; only root can
	// Working is called now and then while the program, or what it has started, uses the CPU or the disk: not while it
	// hangs or waits. Nil: nobody wants to know. It may be called from another goroutine.
	Working func()
}

// File is a small file for the child alone, an option file with a password say.
type File struct{ Content string }

// Account is a user of the machine.
type Account struct{ UID, GID uint32 }

// Result is what is known of a run that has ended.
type Result struct {
	Exit   int    // status; -1 if a signal ended it
	Stderr string // the beginnings of its last lines, 8 KiB in all, redacted
}

// ExitError says that a program ended badly.
type ExitError struct {
	Program string
	Result
	cause error
}

// Error has the program, its status and the last line that it said.
func (e *ExitError) Error() string {
	lines := strings.Split(strings.TrimSpace(e.Stderr), "\n")
	return fmt.Sprintf("%s: %v: %s", e.Program, e.cause, lines[len(lines)-1])
}

// Unwrap is the error of os/exec.
func (e *ExitError) Unwrap() error { return e.cause }

// termGrace is how long a child has between SIGTERM and SIGKILL.
const termGrace = 5 * time.Second

// Run runs the program to its end. When ctx ends its whole group gets SIGTERM, then SIGKILL, and the error
// is that of ctx. An error of Stdout or Stdin ends the run and comes back as it is. A program that ends
// with another status than 0 is an *ExitError. Nothing of the child's group runs when Run returns, and
// Stdout has got everything that the child wrote, however slow it is: a Stdout that hangs has to be ended
// by whoever ends ctx.
func Run(ctx context.Context, c Command) (Result, error) {
	handed, _ := c.Stdin.(*os.File)
	if handed != nil { // whatever happens: who writes into the pipe has to notice
		defer handed.Close()
	}
	files, err := expose(c.Files, c.As)
	if err != nil {
		return Result{}, fmt.Errorf("prepare %s: %w", c.Path, err)
	}
	defer files.close()
	if err := ctx.Err(); err != nil {
		return Result{}, context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	said := &tail{max: 8 << 10}
	out := &watched{to: c.Stdout, broken: func(err error) { cancel(err) }}
	in := &source{from: c.Stdin}
	cmd := exec.CommandContext(ctx, c.Path, append(files.fill(c.Args), c.Plain...)...)
	cmd.Env = append(environment(), files.fill(c.Env)...)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.ExtraFiles = files.inherited
	switch {
	case handed != nil:
		cmd.Stdin = handed
	case c.Stdin != nil:
		cmd.Stdin = in
	}
	isolate(cmd)
	if c.As != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.As.UID, Gid: c.As.GID}
	}
	cmd.Cancel = func() error { return terminate(cmd) }

	err = runWith(ctx, cmd, handed, out, said, c.Working)
	res := Result{Exit: -1, Stderr: events.Redact(said.String())}
	if cmd.ProcessState != nil {
		res.Exit = cmd.ProcessState.ExitCode()
	}
	switch {
	case out.err != nil:
		return res, out.err
	case ctx.Err() != nil:
		return res, context.Cause(ctx)
	case err == nil:
		return res, in.err
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if in.err != nil { // the child may only have complained that its input ended
			return res, in.err
		}
		return res, &ExitError{Program: baseName(c.Path), Result: res, cause: err}
	}
	return res, fmt.Errorf("run %s: %w", baseName(c.Path), err)
}

// runWith starts the child, copies what it says, and waits for its end and that of its group. The pipes are
// ours: those of os/exec cut a slow reader off, or wait for every process that holds one.
func runWith(ctx context.Context, cmd *exec.Cmd, handed *os.File, out *watched, said io.Writer, working func()) error {
	theirs := []*os.File{handed} // nil is closed without harm
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
	}()
	stderr, err := newCopying(said, false)
	if err != nil {
		return err
	}
	cmd.Stderr, theirs = stderr.write, append(theirs, stderr.write)
	stdout := &copying{done: closed}
	if out.to != nil {
		if stdout, err = newCopying(out, true); err != nil {
			return err
		}
		cmd.Stdout, theirs = stdout.write, append(theirs, stdout.write)
	}
	err = wait(ctx, cmd, theirs, working)
	// The group is gone, so the pipes end, unless a daemon of the child's holds them: of standard error what
	// comes at once is enough, of standard output all is wanted until ctx ends.
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), termGrace)
	defer cancel()
	_ = stderr.end(over) // the status counts
	if lost := stdout.end(ctx); err == nil && lost != nil {
		err = fmt.Errorf("carry its output: %w", lost)
	}
	return err
}

// wait starts the child and waits on one thread: the parent-death signal is sent when the thread that
// started the child ends, and Go ends threads that nobody holds. theirs are closed here once the child has
// them. Nothing of the child's group runs afterwards.
func wait(ctx context.Context, cmd *exec.Cmd, theirs []*os.File, working func()) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		for _, f := range theirs {
			_ = f.Close()
		}
		if err == nil {
			ended := make(chan struct{})
			stop := context.AfterFunc(ctx, func() { killLater(cmd, ended) })
			var watching sync.WaitGroup
			if working != nil {
				watching.Go(func() {
					Watch(cmd.Process.Pid, ended, func(worked bool) {
						if worked {
							working()
						}
					})
				})
			}
			err = cmd.Wait()
			close(ended)
			stop()
			watching.Wait()
			killGroup(cmd) // what the child may have left behind
		}
		done <- err
	}()
	return <-done
}

// killLater kills a group that did not obey in time.
func killLater(cmd *exec.Cmd, ended <-chan struct{}) {
	timer := time.NewTimer(termGrace)
	defer timer.Stop()
	select {
	case <-timer.C:
		killGroup(cmd)
	case <-ended:
	}
}

// environment is what every child gets: where programs are, and one language and zone, so that messages
// and times can be read.
func environment() []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	return []string{"PATH=" + path, "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=/nonexistent"}
}

func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// watched remembers why a writer failed, and ends the child then.
type watched struct {
	to     io.Writer
	broken func(error)
	err    error
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.met(err)
	return n, err
}

// Pass implements Passer.
func (w *watched) Pass(from *Output, look func([]byte) error) (int64, error) {
	n, err := PassTo(w.to, from, look)
	if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, io.EOF) {
		w.met(err)
	}
	return n, err
}

func (w *watched) met(err error) {
	if err != nil && w.err == nil {
		w.err = err
		w.broken(err)
	}
}

// source remembers why a reader failed.
type source struct {
	from io.Reader
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// tail keeps the last bytes that were written. Of each line it keeps the beginning: pg_dump repeats the statement that
// failed, which may name ten thousand tables, behind the line that says why.
type tail struct {
	max    int
	buf    []byte
	column int // bytes of the line so far
}

// maxLine is what tail keeps of one line: up to the last blank before, as half a secret would not be known as one.
const maxLine = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		if room := maxLine - t.column; room >= 0 {
			t.buf = append(t.buf, text[:min(room, len(text))]...)
			if len(text) > room {
				line := bytes.LastIndexByte(t.buf, '\n') + 1
				t.buf = append(t.buf[:line+bytes.LastIndexByte(t.buf[line:], ' ')+1], "[...]"...)
			}
		}
		t.column += len(text)
		if ended {
			t.buf, t.column = append(t.buf, '\n'), 0
		}
	}
	if over := len(t.buf) - t.max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.ToValidUTF8(string(t.buf), "?") }
