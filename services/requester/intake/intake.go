// Package intake is the use case behind every door: it validates a request, gives it its ids, appends
// its first event under the rule of one operation at a time, and answers when the event can be seen.
// It speaks the words of the bus; a door turns a vendor's words into these and back.
package intake

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Log is the truth: what is appended here has happened.
type Log interface {
	Append(ctx context.Context, d events.Draft) (events.Appended, error)
	Last(ctx context.Context, filter string) (events.Stored, bool, error)
	Scan(ctx context.Context, filter string, from uint64, latestOnly bool, fn func(subject string, s events.Stored) error) (uint64, error)
}

// Reader is the current view (view.Reader): what is not there is events.ErrNotFound.
type Reader interface {
	Backup(ctx context.Context, project, id string) (events.Backup, error)
	BackupByCloudSQL(ctx context.Context, project, instance, runID string) (events.Backup, error)
	BackupByGaussDB(ctx context.Context, project, id string) (events.Backup, error)
	InstanceNameByGaussDB(ctx context.Context, project, id string) (string, error)
	Listed(ctx context.Context, project string, l lifecycle.Listing, offset, limit int) ([]events.Backup, int, error)
	Restorable(ctx context.Context, project, instance string, from, to time.Time, limit int) ([]time.Time, error)
	BackupBySpanner(ctx context.Context, project, instance, name string) (events.Backup, error)
	Backups(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error)
	Standing(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error)
	Creations(ctx context.Context, project, instance, name string, since time.Time, cursor string, limit int) ([]events.Backup, string, error)
	Restorals(ctx context.Context, project, instance, database string, since time.Time, cursor string, limit int) ([]events.Restore, string, error)
	Active(ctx context.Context, project, instance string) ([]events.Backup, uint64, error)
	Restoring(ctx context.Context, project, backupID string) ([]events.Restore, error)
	RestoringFrom(ctx context.Context, project, instance string) ([]events.Restore, error)
	CopyingFrom(ctx context.Context, project, instance string) ([]events.Backup, error)
	RestoringInto(ctx context.Context, project, instance string) ([]events.Restore, error)
	Progress(ctx context.Context, project, id string) (events.Progress, error)
	Peaks(ctx context.Context, project string, ids []string) (map[string]int, error)
	Restore(ctx context.Context, project, id string) (events.Restore, error)
	Instance(ctx context.Context, project, name string) (events.Instance, error)
	Instances(ctx context.Context, project, cursor string, limit int) ([]events.Instance, string, error)
	SchedulesByID(ctx context.Context, project string, ids []string) ([]events.Schedule, error)
	Schedules(ctx context.Context, project, instance, cursor string, limit int) ([]events.Schedule, string, error)
	Generations(ctx context.Context, project string, ids []string) (map[string]int, error)
	Operation(ctx context.Context, project, id string) (lifecycle.Operation, error)
	ShortOperation(ctx context.Context, project, digits string) (lifecycle.Operation, error)
	Operations(ctx context.Context, project, instance, cursor string, limit int) ([]lifecycle.Operation, string, error)
	Health(ctx context.Context, project, instance string, since time.Time) (lifecycle.Health, error)
	Reached(ctx context.Context, project string) (seq uint64, err error)
	Passed(ctx context.Context, project string, seq uint64) error
	Moved(ctx context.Context, project string, seq uint64) error
}

// Config are the settings of the use case. The zero value works.
type Config struct {
	Bus         string        // the deployment's name, for the origins of requests; default bus.local
	MaxAttempts int           // tries of one backup, default 3
	VisibleIn   time.Duration // how long an answer waits for the view, default 2 s (design.md 2)
	Providers   []string      // providers that instances may have; empty: none can be registered
}

// Intake accepts requests. Safe for concurrent use; any number of replicas may work on one log.
type Intake struct {
	log  Log
	view Reader
	now  func() time.Time
	slog *slog.Logger
	c    Config
}

// New makes an Intake.
func New(log Log, view Reader, now func() time.Time, l *slog.Logger, c Config) *Intake {
	if c.Bus == "" {
		c.Bus = "bus.local"
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 3
	}
	if c.VisibleIn == 0 {
		c.VisibleIn = 2 * time.Second
	}
	return &Intake{log: log, view: view, now: now, slog: l, c: c}
}

// Caller is who asks, through which door, and what makes a repeat of the request recognisable.
type Caller struct {
	Door   string // cloudsql, gaussdb, spanner, native
	Name   string // opaque reference to the caller, empty on an open loopback
	Source string // S of events.md 1.4: the source of a command or of an event that was posted; empty: the door
	Key    string // the caller's idempotency key, empty if it has none
	Digest string // of the request's content, set when Key is
	Trace  events.Trace
	Cause  string // causation id: tok(id) of the command that asks (events.md 1.1), empty without one
}

// cause is what an event of this caller's request carries of where it comes from.
func (c Caller) cause(requestID string) events.Cause {
	return events.Cause{CorrelationID: requestID, CausationID: c.Cause, Trace: c.Trace}
}

// origin is S and K of events.md 1.4.
func (i *Intake) origin(c Caller) events.Origin {
	o := events.Origin{Source: c.Source, Key: c.Key}
	if o.Source == "" {
		o.Source = "//" + i.c.Bus + "/doors/" + c.Door
	}
	if o.Key == "" {
		o.Key = events.FreshKey()
	}
	return o
}

// visible waits until the view has applied an event, at most VisibleIn: then the caller is answered all
// the same, and reads of the project go to the log until the view is there.
func (i *Intake) visible(ctx context.Context, project string, seq uint64) {
	ctx, cancel := context.WithTimeout(ctx, i.c.VisibleIn)
	defer cancel()
	if err := i.view.Passed(ctx, project, seq); err != nil && !errors.Is(err, context.Canceled) {
		i.slog.WarnContext(ctx, "answered before visible", "project", project, "stream_seq", seq, "error", err.Error())
	}
}

// Await waits until reads show what the log has by now of the instance of an aggregate.
func (i *Intake) Await(ctx context.Context, a events.Aggregate) error {
	scope, err := a.InstanceScope()
	if err != nil {
		return fault("name the instance", err)
	}
	last, found, err := i.log.Last(ctx, scope)
	if err != nil || !found {
		return fault("look for the instance's last event", err)
	}
	i.visible(ctx, a.Project, last.Seq)
	return nil
}

// elsewhere looks for an aggregate of the same id in another instance: the caller's key was used before.
func (i *Intake) elsewhere(ctx context.Context, a events.Aggregate) (events.Stored, bool, error) {
	scope, err := a.AnywhereScope()
	if err != nil {
		return events.Stored{}, false, err
	}
	return i.log.Last(ctx, scope)
}

func (i *Intake) last(ctx context.Context, a events.Aggregate) (events.Stored, bool, error) {
	scope, err := a.Scope()
	if err != nil {
		return events.Stored{}, false, err
	}
	return i.log.Last(ctx, scope)
}
