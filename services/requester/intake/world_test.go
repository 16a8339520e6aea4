package intake_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// world is a log and an intake over it. No view follows the log: what is read is read from the log.
type world struct {
	*intake.Intake
	t    *testing.T
	nats *bustest.Server
	bus  *bus.Bus
}

type truth struct{ *bus.Bus }

func (t truth) End(ctx context.Context) (view.Checkpoint, error) {
	s, err := t.State(ctx)
	return view.Checkpoint{Epoch: s.Epoch, Seq: s.Last}, err
}

func newWorld(t *testing.T, instances ...string) world {
	t.Helper()
	s := bustest.Run(t)
	b := s.Connect(t)
	bustest.Provision(t, b)
	w := world{t: t, nats: s, bus: b}
	w.Intake = w.over(b, view.NewFallback(view.New(view.NewMemory(time.Now), 1), truth{b}, time.Now))
	for _, name := range instances {
		w.apply(name, "/data/"+name+".db")
	}
	return w
}

// over is another intake, over another log or view.
func (w world) over(log intake.Log, r intake.Reader) *intake.Intake {
	return intake.New(log, r, time.Now, pipelinetest.Logger(w.t), intake.Config{VisibleIn: time.Millisecond, Providers: []string{"sqlite", "cloudsql", "spanner"}})
}

// rival is an intake of another process.
func (w world) rival() *intake.Intake {
	b := w.nats.Connect(w.t)
	return w.over(b, view.NewFallback(view.New(view.NewMemory(time.Now), 1), truth{b}, time.Now))
}

func (w world) apply(name, file string) events.Instance {
	w.t.Helper()
	return must(w.t)(first(w.Apply(w.t.Context(), applied(name, file))))
}

func applied(name, file string) intake.Apply {
	return intake.Apply{Project: "shop", Provider: "sqlite", Instance: name, Config: events.InstanceConfig{Engine: "sqlite", File: file}}
}

func first[A, B any](a A, _ B, err error) (A, error) { return a, err }

// must fails the test at an error.
func must(t *testing.T) func(events.Instance, error) events.Instance {
	return func(i events.Instance, err error) events.Instance {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
}

// plan is a change of the automated schedule to a cron line, for the whole instance as the Cloud SQL door asks for it.
func plan(instance, cron string) intake.Plan {
	return intake.Plan{Caller: intake.Caller{Door: "cloudsql"}, Project: "shop", Instance: instance, Name: events.Automated, WholeInstance: true,
		Change: func(events.Instance, *events.Schedule) (events.ScheduleConfig, error) {
			return events.ScheduleConfig{Cron: cron}, nil
		}}
}

func create(instance string) intake.Create {
	return intake.Create{Caller: intake.Caller{Door: "cloudsql"}, Project: "shop", Instance: instance, WholeInstance: true}
}

// taken is a backup with a good copy.
func (w world) taken(instance string) events.Backup {
	w.t.Helper()
	r, err := w.Create(w.t.Context(), create(instance))
	if err != nil {
		w.t.Fatal(err)
	}
	b := w.move(r.Backup, events.Started, 1, func(b events.Backup) events.Backup { return lifecycle.Claim(b, time.Now(), "ex") })
	return w.move(b, events.Succeeded, 1, func(b events.Backup) events.Backup {
		return lifecycle.Complete(b, time.Now(), lifecycle.Outcome{Proof: events.ProofChecked, SizeBytes: 1})
	})
}

// move appends a step of an executor.
func (w world) move(b events.Backup, step events.Step, n int, f func(events.Backup) events.Backup) events.Backup {
	w.t.Helper()
	done, err := w.bus.Append(w.t.Context(), events.Draft{Aggregate: b.Aggregate(), Step: step, At: time.Now(), EventID: events.EventID(b.BackupID, events.Backups, step, n),
		Decide: func(_ context.Context, p events.Prior) (events.Payload, error) {
			b, err := events.Decode[events.Backup](p.Last.Event)
			if err != nil {
				return nil, err
			}
			return lifecycle.Advance(f(b), step)
		}})
	if err != nil {
		w.t.Fatal(err)
	}
	if b, err = events.Decode[events.Backup](done.Event); err != nil {
		w.t.Fatal(err)
	}
	return b
}

// steps are the ids of all events of an aggregate, without its own.
func (w world) steps(a events.Aggregate) []string {
	w.t.Helper()
	filter, err := a.Scope()
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	if _, err := w.bus.Scan(w.t.Context(), filter, 1, false, func(_ string, s events.Stored) error {
		out = append(out, s.ID[len(a.ID)+1:])
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// refused checks the reason of a refusal.
func refused(t *testing.T, what string, err error, want intake.Reason) {
	t.Helper()
	var e *intake.Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}
