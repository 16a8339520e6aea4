package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

func TestCancel_InTheMiddleLeavesNoFile(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{events.Preparing, events.Copying, events.Finalizing} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			source := w.file("source.db")
			fillDB(t, source, 2500)
			e := w.executor(t)
			at := make(chan struct{}, 8)
			e.reported = func(ctx context.Context, _ executor.Job, p executor.Progress) {
				if p.Phase == phase {
					at <- struct{}{}
					<-ctx.Done()
				}
			}
			ref, err := e.Start(t.Context(), jobOf(source))
			if err != nil {
				t.Fatal(err)
			}
			if phase != events.Preparing {
				<-at
			}
			if remains, err := e.Cancel(t.Context(), ref); err != nil || remains {
				t.Errorf("remains %v, %v", remains, err)
			}
			executortest.WantCode(t, executortest.Finish(t, e, ref).Err, events.CodeCancelled)
			w.wantNothingLeft(t)
		})
	}
}

func TestCancel_StopsTheCheckOfTheCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 3000)
	e := w.executor(t)
	o := executortest.Take(t, e, jobOf(source))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Verify(ctx, jobOf(source), *o.Ref, o.Checksum, events.ProofChecked); err == nil {
		t.Error("a cancelled proof ended well")
	}
	if left, _ := os.ReadDir(w.scratch); len(left) != 0 {
		t.Errorf("scratch holds %v", left)
	}
}

func TestRecover_RemovesScratch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.executor(t)
	j := jobOf(w.file("source.db"))
	for _, name := range []string{"backupbus-" + testBackup + "-1", "backupbus-" + testBackup + "-1-verify"} {
		dir := filepath.Join(w.scratch, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "copy.sqlite"), []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, found, err := e.Recover(t.Context(), j); err != nil || found {
		t.Errorf("found %v, %v", found, err)
	}
	w.wantNothingLeft(t)
}
