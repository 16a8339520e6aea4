package tool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
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
	Stdin  io.Reader // nil: nothing. An *os.File is handed over: Run closes it
	Stdout io.Writer // nil: thrown away
	Files  []File    // what the child may read and nobody else
	As     *Account  // another user than the executor's; only root can
}

// File is a small file for the child alone, an option file with a password say.
type File struct{ Content string }

// Account is a user of the machine.
type Account struct{ UID, GID uint32 }

// Result is what is known of a run that has ended.
type Result struct {
	Exit   int    // status; -1 if a signal ended it
	Stderr string // its last 8 KiB, redacted
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
// with another status than 0 is an *ExitError. Nothing of the child's group runs when Run returns.
func Run(ctx context.Context, c Command) (Result, error) {
	files, err := expose(c.Files, c.As)
	if err != nil {
		return Result{}, fmt.Errorf("prepare %s: %w", c.Path, err)
	}
	defer files.close()
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}

	said := &tail{max: 8 << 10}
	out := &watched{to: c.Stdout}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out.broken = func(err error) { cancel(err) }

	cmd := exec.CommandContext(ctx, c.Path, append(files.fill(c.Args), c.Plain...)...)
	cmd.Env = append(environment(), files.fill(c.Env)...)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.ExtraFiles = files.inherited
	cmd.Stderr = said
	if c.Stdout != nil {
		cmd.Stdout = out
	}
	in := &source{from: c.Stdin}
	handed, _ := c.Stdin.(*os.File)
	switch {
	case handed != nil: // the child alone holds it: when it dies, who writes into the pipe notices
		cmd.Stdin = handed
		defer handed.Close()
	case c.Stdin != nil:
		cmd.Stdin = in
	}
	isolate(cmd)
	if c.As != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.As.UID, Gid: c.As.GID}
	}
	cmd.Cancel = func() error { return terminate(cmd) }
	cmd.WaitDelay = termGrace

	err = wait(cmd, handed)
	killGroup(cmd) // what the child may have left behind in its group
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

// wait starts the child and waits on one thread: the parent-death signal is sent when the thread that
// started the child ends, and Go ends threads that nobody holds.
func wait(cmd *exec.Cmd, handed *os.File) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if handed != nil {
			_ = handed.Close()
		}
		if err == nil {
			err = cmd.Wait()
		}
		done <- err
	}()
	return <-done
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
	if err != nil && w.err == nil {
		w.err = err
		w.broken(err)
	}
	return n, err
}

// copyBuffer is how much passes at once between a tool and what reads it.
const copyBuffer = 256 << 10

// ReadFrom implements io.ReaderFrom, by which os/exec copies the pipe: with larger pieces than its own, from
// a pipe that holds more.
func (w *watched) ReadFrom(r io.Reader) (int64, error) {
	if pipe, ok := r.(syscall.Conn); ok {
		WidenPipe(pipe)
	}
	return io.CopyBuffer(writerOnly{w}, readerOnly{r}, make([]byte, copyBuffer))
}

// writerOnly and readerOnly keep io.CopyBuffer from looking for another way.
type (
	writerOnly struct{ io.Writer }
	readerOnly struct{ io.Reader }
)

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

// tail keeps the last bytes that were written.
type tail struct {
	max int
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.ToValidUTF8(string(t.buf), "?") }
