package tool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
)

// childEnv makes the test binary an executor that runs a program and is then killed.
const childEnv = "BACKUPBUS_TOOL_TEST_CHILD"

func TestMain(m *testing.M) {
	if script := os.Getenv(childEnv); script != "" {
		_, _ = Run(context.Background(), Command{Path: "/bin/sh", Args: []string{"-c", script}, Stdout: os.Stdout})
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// sh runs a script as a tool.
func sh(t *testing.T, ctx context.Context, script string, c Command) (string, Result, error) {
	t.Helper()
	var out bytes.Buffer
	c.Path, c.Args = "/bin/sh", append([]string{"-c", script, "sh"}, c.Args...)
	if c.Stdout == nil {
		c.Stdout = &out
	}
	r, err := Run(ctx, c)
	return out.String(), r, err
}

func TestRun_StatusAndLastWordsOfAFailure(t *testing.T) {
	t.Parallel()
	out, r, err := sh(t, t.Context(), "echo some; echo first >&2; echo 'password=hunter2 is wrong' >&2; exit 7", Command{})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Exit != 7 || r.Exit != 7 || out != "some\n" {
		t.Fatalf("%q, %+v, %v", out, r, err)
	}
	if !strings.Contains(err.Error(), "is wrong") || strings.Contains(err.Error()+r.Stderr, "hunter2") {
		t.Errorf("the error is %v, standard error %q", err, r.Stderr)
	}
}

func TestRun_StandardErrorIsBounded(t *testing.T) {
	t.Parallel()
	_, r, err := sh(t, t.Context(), "head -c 1000000 /dev/zero | tr '\\0' x | fold -w 100 >&2; echo; echo end >&2", Command{})
	if err != nil || len(r.Stderr) != 8<<10 || !strings.HasSuffix(r.Stderr, "end\n") {
		t.Errorf("%d bytes, %v", len(r.Stderr), err)
	}
}

func TestRun_EnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("CANARY_SECRET", "seen")
	out, _, err := sh(t, t.Context(), "env", Command{Env: []string{"EXTRA=1"}})
	if err != nil || strings.Contains(out, "CANARY") || !strings.Contains(out, "EXTRA=1") || !strings.Contains(out, "LC_ALL=C.UTF-8") {
		t.Errorf("environment %q, %v", out, err)
	}
}

func TestRun_FilesAreReadableByTheChildAlone(t *testing.T) {
	t.Parallel()
	const secret = "CANARY-in-a-file"
	out, _, err := sh(t, t.Context(), `cat "$1" "$1" "$2"; stat -L -c %a "$1"; tr '\0' ' ' < /proc/$$/cmdline; tr '\0' ' ' < /proc/$$/environ`,
		Command{Args: []string{"{0}", "{1}"}, Files: []File{{secret}, {"two"}}})
	if err != nil || !strings.HasPrefix(out, secret+secret+"two600\n") || strings.Count(out, secret) != 2 {
		t.Errorf("%q, %v", out, err)
	}
}

func TestRun_FilesOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		if os.Getenv("BACKUPBUS_REQUIRE_SERVERS") == "1" {
			t.Fatal("only root runs programs as other users")
		}
		t.Skip("only root runs programs as other users")
	}
	out, _, err := sh(t, t.Context(), `id -u; cat "$1"`, Command{Args: []string{"{0}"}, Files: []File{{"mine"}}, As: &Account{UID: 65534, GID: 65534}})
	if err != nil || out != "65534\nmine" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestRun_CancelEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"obedient":          "sleep 1000 & echo $$ $!; wait",
		"deaf":              "trap '' TERM; sleep 1000 & echo $$ $!; wait; wait; while :; do sleep 1; done",
		"stopped (SIGSTOP)": "sleep 1000 & echo $$ $!; kill -STOP $!; kill -STOP $$",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := &firstLine{seen: make(chan string, 1)}
			done := make(chan error, 1)
			go func() {
				_, _, err := sh(t, ctx, script, Command{Stdout: w})
				done <- err
			}()
			line := <-w.seen
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("want the end of the context, got %v", err)
			}
			for _, pid := range strings.Fields(line) {
				wantGone(t, pid)
			}
		})
	}
}

func TestRun_ABrokenOutputEndsTheChild(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	pids := &firstLine{seen: make(chan string, 1)}
	_, _, err := sh(t, t.Context(), "echo $$; exec cat /dev/zero", Command{Stdout: &failing{to: pids, after: 1 << 20, err: full}})
	if !errors.Is(err, full) {
		t.Errorf("want the writer's error, got %v", err)
	}
	wantGone(t, strings.TrimSpace(<-pids.seen))
}

func TestRun_ABrokenInputIsTheError(t *testing.T) {
	t.Parallel()
	torn := errors.New("torn")
	_, _, err := sh(t, t.Context(), "cat >/dev/null", Command{Stdin: io.MultiReader(strings.NewReader("half"), &failing{err: torn})})
	if !errors.Is(err, torn) {
		t.Errorf("want the reader's error, got %v", err)
	}
}

func TestRun_AHandedPipeBreaksWhenTheChildDies(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	done := make(chan error, 1)
	go func() {
		_, _, err := sh(t, t.Context(), "exit 3", Command{Stdin: r})
		done <- err
	}()
	for err == nil { // a parent that kept the reading end would fill the pipe and wait for ever
		_, err = w.Write(make([]byte, 1<<16))
	}
	if !errors.Is(err, syscall.EPIPE) {
		t.Errorf("want a broken pipe, got %v", err)
	}
	var exit *ExitError
	if err := <-done; !errors.As(err, &exit) || exit.Exit != 3 {
		t.Errorf("%v", err)
	}
}

// TestRun_ChildDiesWithAKilledExecutor: also when the executor had no time to do anything about it.
func TestRun_ChildDiesWithAKilledExecutor(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=echo $$; exec sleep 1000")
	w := &firstLine{seen: make(chan string, 1)}
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := strings.TrimSpace(<-w.seen)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // tells that it was killed
	wantGone(t, pid)
}

func TestFind_MissingIsAClearFailure(t *testing.T) {
	t.Parallel()
	var f *events.Failure
	_, err := Programs{}.Find("no-such-dump", "no-such-dump-either")
	if !errors.As(err, &f) || f.Code != events.ProviderRejected || !strings.Contains(f.Message, "no-such-dump or no-such-dump-either") {
		t.Errorf("%v", err)
	}
	_, err = Programs{"x": "/nonexistent/x"}.Find("x")
	if !errors.As(err, &f) || strings.Contains(f.Message, "/nonexistent") {
		t.Errorf("%v", err)
	}
	path := filepath.Join(t.TempDir(), "sh")
	if err := os.Symlink("/bin/sh", path); err != nil {
		t.Fatal(err)
	}
	if got, err := (Programs{"sh": path}).Find("sh"); err != nil || got != path {
		t.Errorf("a configured path loses: %s, %v", got, err)
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{"10.11.19-MariaDB": "10.11", "15.18 (Debian 15.18-0)": "15.18", "8.0.36": "8.0", "17devel": "17.0", "": "0.0"} {
		v := ParseVersion(s)
		if got := fmt.Sprintf("%d.%d", v.Major, v.Minor); got != want || v.Text != s {
			t.Errorf("%q is %s and not %s", s, got, want)
		}
	}
	if !ParseVersion("9.6").Less(ParseVersion("10.0")) || ParseVersion("10.1").Less(ParseVersion("10.1")) {
		t.Error("versions are compared as text")
	}
}

// firstLine tells the first line that was written.
type firstLine struct {
	buf  bytes.Buffer
	seen chan string
	told bool
}

func (w *firstLine) Write(p []byte) (int, error) {
	if w.told {
		return len(p), nil
	}
	w.buf.Write(p)
	if line, err := w.buf.ReadString('\n'); err == nil {
		w.told = true
		w.seen <- line
	}
	return len(p), nil
}

// failing is a writer or reader that breaks.
type failing struct {
	to    io.Writer
	after int
	err   error
}

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, f.err
	}
	return f.to.Write(p)
}

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// wantGone waits until a process is gone or a zombie that nobody has collected.
func wantGone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatalf("no process id: %q", pid)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(15 * time.Second)
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("process %d still runs: %s", n, stat)
		}
	}
}

// A tool may repeat a statement of any length behind the line that says why it failed.
func TestRun_WhatWasSaidBeforeALongLineIsKept(t *testing.T) {
	t.Parallel()
	_, res, err := sh(t, t.Context(), `echo "error: out of locks" >&2
printf 'detail: ' >&2; head -c 100000 /dev/zero | tr '\0' x >&2; printf 'tail\nlast\n' >&2; exit 1`, Command{})
	if err == nil || res.Stderr != "error: out of locks\ndetail: [...]\nlast\n" {
		t.Errorf("%d bytes: %.100q ... %q, %v", len(res.Stderr), res.Stderr, res.Stderr[max(0, len(res.Stderr)-30):], err)
	}
}
