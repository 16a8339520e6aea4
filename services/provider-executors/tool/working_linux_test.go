package tool

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestWorks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, now usage
		want        bool
	}{
		"nothing":             {usage{1000, 4096, true}, usage{1000, 4096, true}, false},
		"a clock of its own":  {usage{1000, 4096, true}, usage{1020, 4096, true}, false},
		"a page now and then": {usage{1000, 4096, true}, usage{1000, 4096 + 64<<10, true}, false},
		"the CPU":             {usage{1000, 4096, true}, usage{1021, 4096, true}, true},
		"the disk":            {usage{1000, 4096, true}, usage{1000, 4097 + 64<<10, true}, true},
		"a child has ended":   {usage{1000, 4096, true}, usage{10, 4096, true}, true},
		"one of a disk":       {usage{1000, 4096, true}, usage{1000, 10, true}, true},
		"not known":           {usage{}, usage{}, true},
	} {
		if got := c.before.works(c.now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What the program has started counts, in a group of its own too, as the processes of a PostgreSQL server are.
func TestRun_TellsOfAProgramThatWorks(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"the program": `while :; do :; done`,
		"its own":     `setsid sh -c 'while :; do :; done' & read nothing; kill $!`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			told := make(chan struct{}, 1)
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer write.Close()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = Run(ctx, Command{Path: "/bin/sh", Args: []string{"-c", script}, Stdin: read, Working: func() {
					select {
					case told <- struct{}{}:
					default:
					}
				}})
			}()
			select {
			case <-told:
			case <-ended:
				t.Error("it was not said to work")
			}
			if name == "its own" {
				_ = write.Close() // it ends what it has started
			} else {
				cancel()
			}
			<-ended
		})
	}
}

func TestUsage_OfAProgramThatWaitsDoesNotGrow(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	look := func() usage {
		_, _ = in.Write([]byte("there\n"))
		if line, err := lines.ReadString('\n'); line != "there\n" {
			t.Fatalf("%q, %v", line, err)
		}
		return usageOf(cmd.Process.Pid)
	}
	if first, second := look(), look(); !first.known || first.works(second) {
		t.Errorf("%+v, then %+v", first, second)
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if u := usageOf(cmd.Process.Pid); u.known {
		t.Errorf("of one that has ended: %+v", u)
	}
}
