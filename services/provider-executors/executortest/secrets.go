package executortest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Canary is part of every secret of a test: of passwords, addresses of hooks, keys of storages. It has no character
// that is written in another way anywhere. What Finish and WantCode see, and what lies in a folder of Guard, must not
// have it. What is encrypted with age is opened with the identities that were given to Secret; where none of them opens
// it, it is searched as it is stored, in which nothing can be found.
const Canary = "Canary7f3aOfTheTests"

var secrets = struct {
	sync.Mutex
	all [][]byte
}{all: [][]byte{[]byte(Canary)}}

// Secret adds one that cannot have the canary, the key of a generated identity say, and returns it.
func Secret(value string) string {
	secrets.Lock()
	defer secrets.Unlock()
	secrets.all = append(secrets.all, []byte(value))
	return value
}

// Unseen asserts that text, which is called what, has no secret.
func Unseen(t testing.TB, what string, text []byte) {
	t.Helper()
	secrets.Lock()
	defer secrets.Unlock()
	for _, s := range secrets.all {
		if at := bytes.Index(text, s); at >= 0 {
			t.Errorf("%s has a secret: %.300q", what, text[max(0, at-100):min(len(text), at+len(s)+50)])
			return
		}
	}
}

// opened is what an object that is encrypted with age holds, as far as it goes; nothing where no identity of Secret
// opens it.
func opened(stored []byte) (text []byte) {
	var keys []age.Identity
	secrets.Lock()
	for _, s := range secrets.all {
		if id, err := age.ParseX25519Identity(string(s)); err == nil {
			keys = append(keys, id)
		}
	}
	secrets.Unlock()
	if len(keys) == 0 {
		return nil
	}
	if plain, err := age.Decrypt(bytes.NewReader(stored), keys...); err == nil {
		text, _ = io.ReadAll(io.LimitReader(plain, searched))
	}
	return text
}

// Guard looks for secrets in everything that lies below the folders when the test ends, and in all that was written
// to the logger. Call it after the removal of the folders was arranged, and before executors are opened.
func Guard(t testing.TB, folders ...string) *slog.Logger {
	t.Helper()
	log := &record{}
	t.Cleanup(func() {
		log.Lock()
		Unseen(t, "the log", log.Bytes())
		log.Unlock()
		for _, f := range folders {
			unseenBelow(t, f)
		}
	})
	return slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type record struct {
	sync.Mutex
	bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.Lock()
	defer r.Unlock()
	return r.Buffer.Write(p)
}

// searched bounds what is read of one file: secrets do not come after gigabytes of rows alone.
const searched = 32 << 20

func unseenBelow(t testing.TB, folder string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		stored, err := io.ReadAll(io.LimitReader(f, searched))
		if err != nil {
			return err
		}
		Unseen(t, "the file "+path, stored)
		name, encrypted := strings.CutSuffix(path, ".age")
		if encrypted {
			stored = opened(stored)
			Unseen(t, "the encrypted object "+path, stored)
		}
		if !strings.HasSuffix(name, ".zst") {
			return nil
		}
		plain, err := zstd.NewReader(bytes.NewReader(stored), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		defer plain.Close()
		text, _ := io.ReadAll(io.LimitReader(plain, searched)) // what a test has torn is read as far as it goes
		Unseen(t, "the object "+path, text)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("look for secrets: %v", err)
	}
}

// unseenIn looks at all that an executor told of its work.
func unseenIn(t testing.TB, p executor.Progress) {
	t.Helper()
	outcome, err := json.Marshal(p.Outcome)
	if err != nil {
		t.Errorf("outcome: %v", err)
	}
	Unseen(t, "the outcome", outcome)
	if p.Err != nil {
		unseenInError(t, p.Err)
	}
}

// unseenInError looks at what goes to the log, and at what goes into an event.
func unseenInError(t testing.TB, err error) {
	t.Helper()
	Unseen(t, "the error", []byte(err.Error()))
	failure, _ := json.Marshal(executor.FailureOf(err))
	Unseen(t, "the failure", failure)
}

// processesEvery is the time between two looks at the processes, of all tests of this process together: each look sees
// what any of them has started, and takes milliseconds.
const processesEvery = 50 * time.Millisecond

var processes struct {
	sync.Mutex
	looked time.Time
}

// Watch looks for secrets in what this process starts, until the test ends.
func Watch(t testing.TB) {
	t.Helper()
	t.Cleanup(watched(t))
}

// watched looks for secrets in what this process has started, until it is told to stop.
func watched(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var looking sync.WaitGroup
	looking.Go(func() { unseenInProcesses(ctx, t) })
	return func() {
		cancel()
		looking.Wait()
	}
}

// unseenInProcesses looks, until ctx ends, at the arguments and environments of all that this process has started,
// as any user of the machine may do.
func unseenInProcesses(ctx context.Context, t testing.TB) {
	t.Helper()
	tick := time.NewTicker(processesEvery)
	defer tick.Stop()
	for {
		if processes.TryLock() {
			if time.Since(processes.looked) >= processesEvery/2 {
				look(t)
				processes.looked = time.Now()
			}
			processes.Unlock()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func look(t testing.TB) {
	t.Helper()
	for _, pid := range started(os.Getpid()) {
		for _, what := range []string{"cmdline", "environ"} {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, what)) // it may have ended
			Unseen(t, "the "+what+" of a program", text)
		}
	}
}

// started are the processes that pid has started; none where the machine does not tell.
func started(pid int) (all []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, l := range lists {
		list, _ := os.ReadFile(l)
		for _, f := range strings.Fields(string(list)) {
			var child int
			if _, err := fmt.Sscan(f, &child); err == nil {
				all = append(append(all, child), started(child)...)
			}
		}
	}
	return all
}
