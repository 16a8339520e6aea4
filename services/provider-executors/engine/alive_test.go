package engine

import (
	"context"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

func TestAlive_IsToldWithoutBytes(t *testing.T) {
	t.Parallel()
	said, release := make(chan struct{}), make(chan struct{})
	h := &hand{parts: []Part{{Name: "a", Stream: func(ctx context.Context, w io.Writer) (archive.Content, error) {
		alive := Alive(ctx)
		alive()
		alive()
		close(said)
		<-release
		_, err := io.WriteString(w, "rows")
		return archive.Content{}, err
	}}}}
	var clock atomic.Int64
	x, _ := setup(t, h, func(d *Deps, _ *archive.Options) {
		d.Now = func() time.Time { return time.Unix(clock.Add(1), 0) } // each look is a second later
	})
	ref, err := x.Start(t.Context(), job())
	if err != nil {
		t.Fatal(err)
	}
	<-said
	p, err := x.Poll(t.Context(), ref)
	close(release)
	if err != nil || p.Beats < 2 || p.BytesDone != 0 || p.Phase != events.Copying {
		t.Errorf("%+v, %v", p, err)
	}
	if p := executortest.Finish(t, x, ref); p.Err != nil {
		t.Error(p.Err)
	}
}

// A proof that reads says so: nothing else tells it from one that hangs.
func TestProof_ReadingIsToldWithoutBytes(t *testing.T) {
	t.Parallel()
	read, release := make(chan struct{}), make(chan struct{})
	h := &hand{prove: func(ctx context.Context, _ events.Proof, c Copy) error {
		err := c.Unpack(ctx, c.Manifest.Objects[0], io.Discard)
		close(read)
		<-release
		return err
	}}
	var clock atomic.Int64
	x, _ := setup(t, h, func(d *Deps, _ *archive.Options) {
		d.Now = func() time.Time { return time.Unix(clock.Add(1), 0) }
	})
	ref, err := x.Start(t.Context(), job())
	if err != nil {
		t.Fatal(err)
	}
	<-read
	p, err := x.Poll(t.Context(), ref)
	again, err2 := x.Poll(t.Context(), ref)
	close(release)
	if err != nil || err2 != nil || p.Phase != events.Finalizing || p.Beats == 0 || again.Beats != p.Beats {
		t.Errorf("%+v, then %+v, %v, %v", p, again, err, err2)
	}
	if p := executortest.Finish(t, x, ref); p.Err != nil {
		t.Error(p.Err)
	}
}

// A restore tells that it reads, and that it does not while the tool is at work by itself.
func TestRestore_Reports(t *testing.T) {
	t.Parallel()
	h := &restoring{}
	x, _ := setup(t, &h.hand, nil)
	x.engine = h
	p := finish(t, x, job())
	if p.Err != nil {
		t.Fatal(p.Err)
	}
	var phases []string
	var bytes int64
	var unseen bool
	_, err := x.Restore(t.Context(), executor.RestoreJob{RestoreID: "rs_a", Source: *p.Outcome.Ref, Checksum: p.Outcome.Checksum, Report: func(p executor.Progress) {
		bytes, unseen = p.BytesDone, p.Unseen
		if p.Phase == events.Copying && unseen {
			t.Errorf("the last byte of the only object leaves %+v", p)
		}
		if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
	}})
	if err != nil || bytes != int64(len("all of it")) || !unseen || !slices.Equal(phases, []string{events.Preparing, events.Copying, events.Finalizing}) {
		t.Errorf("%d bytes, %v, %v, %v", bytes, unseen, phases, err)
	}
}
