package executortest

import (
	"slices"
	"sync"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

func restorer(t *testing.T, h Harness) (executor.Restorer, executor.Job, lifecycle.Outcome) {
	t.Helper()
	e, j := h.New(t), h.Job(t, backup, 1)
	r, ok := e.(executor.Restorer)
	if !ok {
		t.Skip("the executor cannot restore")
	}
	return r, j, Take(t, e, j)
}

func restoreJob(o lifecycle.Outcome, target events.InstanceConfig) executor.RestoreJob {
	return executor.RestoreJob{
		RestoreID: "rs_aaaaaaaaaaaaaaaaaaaaaaaaaa", BackupID: backup,
		Source: *o.Ref, Checksum: o.Checksum, Target: target,
	}
}

func restoreEqual(t *testing.T, h Harness) {
	r, j, o := restorer(t, h)
	target := h.Target(t)
	if n := Restore(t, r, restoreJob(o, target)); n <= 0 {
		t.Fatalf("restore: %d bytes", n)
	}
	wantContent(t, h, target, h.Content(t, j.Config))
}

// Restore puts a copy back and wants it told how far it is: from PREPARING over COPYING to FINALIZING, never back,
// with one total, which is reached and not passed, and is of all bytes restored at least. It returns those. No secret may be in what runs
// meanwhile.
func Restore(t testing.TB, r executor.Restorer, job executor.RestoreJob) int64 {
	t.Helper()
	var said []executor.Progress
	var mu sync.Mutex
	job.Report = func(p executor.Progress) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, p)
	}
	stop := watched(t)
	n, err := r.Restore(t.Context(), job)
	stop()
	if err != nil {
		t.Fatal(err)
	}
	order := []string{events.Preparing, events.Copying, events.Finalizing}
	last := executor.Progress{Phase: events.Preparing}
	for _, p := range said {
		if p.BytesDone < last.BytesDone || slices.Index(order, p.Phase) < slices.Index(order, last.Phase) || last.Phase != events.Preparing && p.BytesTotal != last.BytesTotal {
			t.Errorf("%+v after %+v", p, last)
		}
		last = p
	}
	if last.Phase != events.Finalizing || last.BytesDone != last.BytesTotal || last.BytesTotal < n {
		t.Errorf("the last word is %+v, of %d bytes", last, n)
	}
	return n
}

func restoreRefuses(t *testing.T, h Harness) {
	r, _, o := restorer(t, h)
	target := h.Target(t)
	h.Fill(t, target)
	before := h.Content(t, target)
	_, err := r.Restore(t.Context(), restoreJob(o, target))
	WantCode(t, err, events.AlreadyExists)
	wantContent(t, h, target, before)
}

func restoreOverwrites(t *testing.T, h Harness) {
	r, j, o := restorer(t, h)
	target := h.Target(t)
	h.Fill(t, target)
	job := restoreJob(o, target)
	job.Overwrite = true
	Restore(t, r, job)
	wantContent(t, h, target, h.Content(t, j.Config))
}

func restoreDamaged(t *testing.T, h Harness) {
	r, _, o := restorer(t, h)
	absent, full := h.Target(t), h.Target(t)
	h.Fill(t, full)
	before := h.Content(t, full)
	overwrite := restoreJob(o, full)
	overwrite.Overwrite = true

	refused := func(want events.Code) {
		t.Helper()
		_, err := r.Restore(t.Context(), restoreJob(o, absent))
		WantCode(t, err, want)
		wantContent(t, h, absent, "")
		_, err = r.Restore(t.Context(), overwrite)
		WantCode(t, err, want)
		wantContent(t, h, full, before)
	}
	h.Flip(t, *o.Ref)
	refused(events.Corrupt)
	h.Remove(t, *o.Ref)
	refused(events.NotFound)
}

func wantContent(t *testing.T, h Harness, c events.InstanceConfig, want string) {
	t.Helper()
	if got := h.Content(t, c); got != want {
		t.Errorf("content %q, want %q", got, want)
	}
}
