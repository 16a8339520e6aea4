package executor

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

type restorer func(ctx context.Context, j RestoreJob) (int64, error)

func (f restorer) Restore(ctx context.Context, j RestoreJob) (int64, error) { return f(ctx, j) }

// toldLog keeps the progress that is published.
type toldLog struct {
	Log
	all []events.Progress
}

func (l *toldLog) PublishProgress(_ context.Context, p events.Progress, sequence string, _ time.Time, _ events.Cause) error {
	if sequence != "0000000002" {
		return errors.New("sequence " + sequence)
	}
	l.all = append(l.all, p)
	return nil
}

func TestRestore_ThatDoesNotMoveIsStopped(t *testing.T) {
	for name, c := range map[string]struct {
		each func(n int64) Progress // reported every minute for two hours
		want events.Code
		told int // progress events: one for each percent or phase
	}{
		"no byte":             {func(int64) Progress { return Progress{Phase: events.Copying} }, events.DeadlineExceeded, 1},
		"bytes":               {func(n int64) Progress { return Progress{Phase: events.Copying, BytesDone: n} }, "", 1},
		"bytes of a total":    {func(n int64) Progress { return Progress{Phase: events.Copying, BytesDone: n, BytesTotal: 242} }, "", 50},
		"beats":               {func(n int64) Progress { return Progress{Phase: events.Copying, Beats: n} }, "", 1},
		"nothing is read":     {func(int64) Progress { return Progress{Phase: events.Copying, Unseen: true} }, "", 1},
		"it tells nothing":    {func(int64) Progress { return Progress{} }, "", 0},
		"bytes, for too long": {func(n int64) Progress { return Progress{Phase: events.Copying, BytesDone: n} }, events.DeadlineExceeded, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := Config{}
				if name == "bytes, for too long" {
					config.Deadline = time.Hour
				}
				log := &toldLog{}
				r := NewRunner(nil, Capabilities{}, log, time.Now, slog.New(slog.DiscardHandler), config)
				started := events.Stored{Event: events.Event{Sequence: "0000000002"}}
				n, err := r.watched(t.Context(), started, events.Restore{RestoreID: "rs_a", BackupID: "bk_a", Project: "p"}, restorer(func(ctx context.Context, j RestoreJob) (int64, error) {
					minute := time.NewTicker(time.Minute)
					defer minute.Stop()
					for n := int64(1); n <= 120; n++ {
						select {
						case <-ctx.Done():
							return 0, ctx.Err()
						case <-minute.C:
							j.Report(c.each(n))
						}
					}
					return 7, nil
				}), RestoreJob{})
				var f *events.Failure
				switch {
				case c.want == "" && (err != nil || n != 7):
					t.Errorf("%d, %v", n, err)
				case c.want != "" && (!errors.As(err, &f) || f.Code != c.want || f.Retryable):
					t.Errorf("%v", err)
				}
				for i, p := range log.all {
					if p.RestoreID != "rs_a" || p.BackupID != "bk_a" || p.Ordinal != i+1 || p.Attempt != 0 || p.Phase == "" {
						t.Errorf("%+v", p)
					}
				}
				if len(log.all) != c.told {
					t.Errorf("%d times progress, want %d", len(log.all), c.told)
				}
			})
		})
	}
}

func TestVerification_ThatDoesNotMoveIsStopped(t *testing.T) {
	proven := lifecycle.Checked{Bytes: 7}
	for name, c := range map[string]struct{ alive, obeys bool }{
		"it tells nothing": {obeys: true}, "it hangs in a storage": {}, "it beats": {alive: true, obeys: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := NewRunner(nil, Capabilities{}, nil, time.Now, slog.New(slog.DiscardHandler), Config{})
				began := time.Now()
				over := make(chan struct{})
				got, err := r.proving(t.Context(), func(ctx context.Context) (lifecycle.Checked, error) {
					minute := time.NewTicker(time.Minute)
					defer minute.Stop()
					end := ctx.Done()
					if !c.obeys {
						end = over
					}
					for range 120 {
						select {
						case <-end:
							return lifecycle.Checked{}, ctx.Err()
						case <-minute.C:
							if c.alive {
								Alive(ctx)()
							}
						}
					}
					return proven, nil
				})
				close(over)
				var f *events.Failure
				switch took := time.Since(began); {
				case c.alive && (err != nil || got.Bytes != proven.Bytes):
					t.Errorf("%+v, %v", got, err)
				case !c.alive && (!errors.As(err, &f) || f.Code != events.DeadlineExceeded || took > r.c.StallAfter+r.c.CancelLimit+time.Minute):
					t.Errorf("%v after %s", err, took)
				}
			})
		})
	}
}

func TestWatch_BeatsMoveTheStallTimer(t *testing.T) {
	t.Parallel()
	c := Config{}.withDefaults()
	w := watch{began: time.Unix(0, 0), moved: time.Unix(0, 0)}
	w.see(time.Unix(0, 0), Progress{Phase: events.Finalizing})
	late := time.Unix(0, 0).Add(c.StallAfter)
	w.see(late, Progress{Phase: events.Finalizing})
	if w.over(late, c) == nil {
		t.Error("an attempt that does not move goes on")
	}
	w.see(late, Progress{Phase: events.Finalizing, Beats: 1})
	if why := w.over(late, c); why != nil {
		t.Errorf("an attempt that says it goes on was stopped: %v", why)
	}
}
