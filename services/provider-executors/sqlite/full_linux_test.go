package sqlite

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

func TestFull_StorageFailsAndKeepsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	executortest.SmallDisk(t, w.store)
	source := w.file("source.db")
	fillDB(t, source, 3000)
	err := failing(t, w, source)
	executortest.WantCode(t, err, events.StorageFull)
	w.wantNothingLeft(t)
}

func TestFull_ScratchIsSeenBeforeItIsFilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	executortest.SmallDisk(t, w.scratch)
	source := w.file("source.db")
	fillDB(t, source, 3000)
	err := failing(t, w, source)
	executortest.WantCode(t, err, events.StorageFull)
	var f *events.Failure
	if errors.As(err, &f); !strings.Contains(f.Message, "scratch") || strings.Contains(f.Message, w.scratch) {
		t.Errorf("failure %+v", f)
	}
	w.wantNothingLeft(t)
}

func TestFull_TargetIsSeenBeforeItIsFilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	fillDB(t, source, 3000)
	e := w.executor(t)
	o := executortest.Take(t, e, jobOf(source))
	small := w.file("small")
	executortest.SmallDisk(t, small)
	_, err := e.Restore(t.Context(), restoreJob(o, small+"/new.db"))
	executortest.WantCode(t, err, events.StorageFull)
	if left, _ := os.ReadDir(small); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func failing(t *testing.T, w world, source string) error {
	t.Helper()
	e := w.executor(t)
	ref, err := e.Start(t.Context(), jobOf(source))
	if err != nil {
		t.Fatal(err)
	}
	return executortest.Finish(t, e, ref).Err
}
