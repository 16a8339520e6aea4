package intake

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Create asks for a backup.
type Create struct {
	Caller
	Project     string
	Instance    string
	Database    string
	Name        string
	Description string // at most 1,024 characters
	Labels      map[string]string
	ExpireTime  time.Time
	Location    string
	SpannerID   string // the client's choice, empty elsewhere: no other backup that stands may have it

	Source *events.Backup // the new backup is a copy of this one, which must have a good copy; nil: of the database

	VersionTime time.Time          // the moment to be backed up, where the provider can choose one
	Encryption  *events.Encryption // asked for; nil: as the provider or the instance has it

	// Failure: the request is accepted and ends with it, as a limit of a dialect may want (cloudsql.md PD-6). It
	// stands in the request, so that whoever meets that first ends it; NotBefore keeps executors away until then.
	Failure   *events.Failure
	NotBefore time.Time

	// WholeInstance: the dialect's lock covers deletions too (cloudsql.md PD-5), whatever the provider.
	WholeInstance bool
}

// Receipt says what an accepted request made.
type Receipt struct {
	RequestID string
	Backup    events.Backup
	Repeat    bool // the request was known: Backup is how it stands now
}

// errKnown carries out of Decide that the backup is already there.
type errKnown struct{ events.Backup }

func (errKnown) Error() string { return "already there" }

// Create appends `backup.requested` and returns when it can be seen. A repeat (same door and key) returns
// what the first made; the same key with other content is IDEMPOTENCY_CONFLICT. A busy instance is
// PENDING_BACKUP_EXISTS (events.md 3.2).
func (i *Intake) Create(ctx context.Context, c Create) (Receipt, error) {
	if err := i.checkCreate(&c); err != nil {
		return Receipt{}, err
	}
	inst, err := i.Instance(ctx, c.Project, c.Instance)
	if err != nil {
		return Receipt{}, err
	}
	if inst.Provider == "spanner" && c.Database == "" {
		return Receipt{}, refuse(Invalid, NameInvalid, "a backup of provider spanner is of one database: name it")
	}
	b, err := i.draft(c, inst)
	if err != nil {
		return Receipt{}, err
	}
	if c.Source != nil {
		if b, err = copyOf(b, *c.Source); err != nil {
			return Receipt{}, err
		}
	}
	done, err := i.insist(ctx, events.Draft{
		Aggregate: b.Aggregate(), Step: events.Requested, Scope: events.ScopeInstance, At: i.now(),
		EventID: events.EventID(b.BackupID, events.Backups, events.Requested, 0),
		Cause:   c.cause(b.RequestID),
		Decide: func(ctx context.Context, p events.Prior) (events.Payload, error) {
			last := p.Last
			if last == nil && c.Key != "" {
				other, found, err := i.elsewhere(ctx, b.Aggregate())
				if err != nil {
					return nil, err
				}
				if found {
					last = &other
				}
			}
			if last != nil {
				known, err := events.Decode[events.Backup](last.Event)
				if err != nil {
					return nil, err
				}
				return nil, errKnown{known}
			}
			// Within the instance a deletion of the source sees the copy, or the copy it. A copy into another instance is
			// decided there: if its source is asked to go at the same moment both are accepted, and the copy fails at its
			// executor, which looks at the source again before it reads it.
			if c.Source != nil {
				if err := i.restorable(ctx, *c.Source); err != nil {
					return nil, err
				}
			}
			return i.admit(ctx, b, p.ScopeSeq, c.WholeInstance || b.Provider == "cloudsql")
		},
	})
	var known errKnown
	if errors.As(err, &known) {
		i.end(ctx, known.Backup, c.Trace)
		return i.repeat(known.Backup, c)
	}
	if err != nil {
		return Receipt{}, fault("append the request", err)
	}
	stored, err := events.Decode[events.Backup](done.Event)
	if err != nil {
		return Receipt{}, fault("read back the request", err)
	}
	i.visible(ctx, c.Project, max(done.Seq, i.end(ctx, stored, c.Trace)))
	if done.Repeat {
		return i.repeat(stored, c)
	}
	return Receipt{RequestID: stored.RequestID, Backup: stored}, nil
}

// copyOf makes a draft that of a copy: it holds what its source holds.
func copyOf(b, source events.Backup) (events.Backup, error) {
	if b.Project != source.Project || b.Provider != source.Provider {
		return b, refuse(Conflict, NotRestorable, "backup %s is of provider %s in project %s: copy it to an instance of the same",
			source.BackupID, source.Provider, source.Project)
	}
	b.SourceBackupID, b.Database = source.BackupID, source.Database
	b.CopyOf = &events.CopyOf{Instance: source.Instance, Spanner: source.IDs.Spanner, CreateTime: source.EnqueuedTime}
	b.Engine, b.EngineVersion, b.ConsistencyTime, b.Encryption = source.Engine, source.EngineVersion, source.ConsistencyTime, source.Encryption
	return b, nil
}

// insist appends although many others do at once. A draft may be sent again: its ids stay the same.
func (i *Intake) insist(ctx context.Context, d events.Draft) (done events.Appended, err error) {
	for range maxRounds {
		if done, err = i.log.Append(ctx, d); !errors.Is(err, events.ErrContended) {
			break
		}
	}
	return done, err
}

// endIn is how long an answer waits for the end of what was refused.
const endIn = 5 * time.Second

// end ends a backup that was accepted and is not to be tried, and returns the stream sequence of that. The request is
// accepted whether this succeeds or not: who comes next, a repeat or an executor, ends it then.
func (i *Intake) end(ctx context.Context, b events.Backup, trace events.Trace) uint64 {
	f := lifecycle.Refused(b)
	if f == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endIn)
	defer cancel()
	done, err := i.log.Append(ctx, events.Draft{
		Aggregate: b.Aggregate(), Step: events.Failed, At: i.now(),
		EventID: events.EventID(b.BackupID, events.Backups, events.Failed, b.Attempt),
		Cause:   events.Cause{CorrelationID: b.RequestID, CausationID: events.EventID(b.BackupID, events.Backups, events.Requested, 0), Trace: trace},
		Decide: func(_ context.Context, p events.Prior) (events.Payload, error) {
			b, err := decodePrior(p)
			if err != nil {
				return nil, err
			}
			if lifecycle.Refused(b) == nil { // somebody else has ended it
				return nil, lifecycle.ErrIllegal
			}
			return lifecycle.Advance(lifecycle.Fail(b, i.now(), f, nil, false), events.Failed)
		},
	})
	if err != nil {
		i.slog.WarnContext(ctx, "a refused backup is not ended yet", "backup_id", b.BackupID, "error", err.Error())
		return 0
	}
	return done.Seq
}

func (i *Intake) repeat(b events.Backup, c Create) (Receipt, error) {
	if b.RequestDigest != c.Digest {
		e := refuse(Conflict, IdempotencyConflict, "this key was used for another request: send another key, or the first request unchanged")
		e.Existing = b.BackupID
		return Receipt{}, e
	}
	return Receipt{RequestID: b.RequestID, Backup: b, Repeat: true}, nil
}

func (i *Intake) checkCreate(c *Create) error {
	var err error
	if c.Project, err = name("project", c.Project); err != nil {
		return err
	}
	if c.Instance, err = name("instance", c.Instance); err != nil {
		return err
	}
	if c.Database != "" {
		if c.Database, err = name("database", c.Database); err != nil {
			return err
		}
	}
	if err := text("name", c.Name, 64); err != nil {
		return err
	}
	if err := text("description", c.Description, 1024); err != nil {
		return err
	}
	if c.Location != "" && !locationForm.MatchString(c.Location) {
		return refuse(Invalid, SchemaViolation, "Invalid backup location")
	}
	if utf8.RuneCountInString(c.Key) > 256 {
		return refuse(Invalid, SchemaViolation, "the idempotency key is longer than 256 characters")
	}
	if err := labels(c.Labels); err != nil {
		return err
	}
	if backupIDForm.MatchString(c.SpannerID) {
		return refuse(Invalid, NameInvalid, "ids of that form are given by this server: choose another id")
	}
	return expiry(c.ExpireTime, i.now())
}

// draft is the record as far as it does not depend on what else the log holds.
func (i *Intake) draft(c Create, inst events.Instance) (events.Backup, error) {
	o := i.origin(c.Caller)
	id, err := events.BackupID(c.Project, o)
	if err != nil {
		return events.Backup{}, refuse(Invalid, SchemaViolation, "idempotency key: %s", err.Error())
	}
	rq, err := events.RequestID(c.Project, o)
	if err != nil {
		return events.Backup{}, refuse(Invalid, SchemaViolation, "idempotency key: %s", err.Error())
	}
	b := events.Backup{
		BackupID: id, Project: c.Project, Provider: inst.Provider, Instance: inst.Instance, Database: c.Database,
		Engine: inst.Config.Engine, EngineVersion: inst.Config.EngineVersion,
		Name: c.Name, Description: c.Description, Labels: c.Labels,
		Trigger: events.OnDemand, Door: c.Door, RequestedBy: c.Caller.Name, RequestID: rq, RequestDigest: c.Digest,
		Location: c.Location, Verification: events.NotVerified, MaxAttempts: i.c.MaxAttempts,
		IDs: events.BackupIDs{Spanner: c.SpannerID}, Encryption: c.Encryption,
	}
	if !c.VersionTime.IsZero() {
		b.ConsistencyTime = events.AtMicro(c.VersionTime)
	}
	if b.Location == "" {
		b.Location = inst.Config.Region
	}
	if !c.ExpireTime.IsZero() {
		b.ExpireTime = events.AtMicro(c.ExpireTime)
	}
	if !c.NotBefore.IsZero() {
		b.NextAttemptTime = events.At(c.NotBefore)
	}
	return lifecycle.Refuse(b, c.Failure), nil
}

// admit decides under the instance-wide compare-and-set: is the instance free, and which ids are.
func (i *Intake) admit(ctx context.Context, b events.Backup, scopeSeq uint64, deletions bool) (events.Payload, error) {
	state, err := i.instanceState(ctx, b.Aggregate(), scopeSeq)
	if err != nil {
		return nil, err
	}
	if own, known := state.backups[b.BackupID]; known {
		return nil, errKnown{own} // the same request was faster through another door or replica
	}
	if err := i.unnamed(ctx, state, b); err != nil {
		return nil, err
	}
	if other, ok := state.rival(b, deletions); ok {
		return nil, state.occupiedBy(other)
	}
	taken := i.now()
	for {
		b.EnqueuedTime = events.At(taken)
		b.IDs = events.NewBackupIDs(b.BackupID, b.IDs.Spanner, b.EnqueuedTime.Time)
		free, err := state.free(ctx, i.view, b)
		if err != nil {
			return nil, err
		}
		if free {
			break
		}
		taken = taken.Add(time.Millisecond)
	}
	if b.Provider == "spanner" && b.ConsistencyTime.IsZero() { // there always (events.md 2.1)
		b.ConsistencyTime = b.EnqueuedTime
	}
	next, err := lifecycle.Advance(b, events.Requested)
	if err != nil {
		return nil, err
	}
	return next, roomy(next)
}

// unnamed refuses a name that the client chose and another backup of the instance has.
func (i *Intake) unnamed(ctx context.Context, state instanceState, b events.Backup) error {
	if b.IDs.Spanner == "" {
		return nil
	}
	for _, other := range state.backups {
		if other.IDs.Spanner == b.IDs.Spanner && lifecycle.Standing(other) {
			return nameTaken(other)
		}
	}
	other, err := i.view.BackupBySpanner(ctx, b.Project, b.Instance, b.IDs.Spanner)
	if errors.Is(err, events.ErrNotFound) {
		return nil
	}
	if _, moved := state.backups[other.BackupID]; moved || err != nil {
		return err // one that has moved since was looked at above
	}
	return nameTaken(other)
}

func nameTaken(b events.Backup) error {
	e := refuse(Conflict, NameTaken, "instance %s has a backup %s: choose another id, or delete that one", b.Instance, b.IDs.Spanner)
	e.Existing = b.BackupID
	return e
}

// maxRecord is the largest record that is accepted, encoded. Every later event carries it whole with what
// is added then, and must not become too large (events.md 2.5: 48 KiB).
const maxRecord = 16 << 10

func roomy(b events.Backup) error {
	b.EarlierUpdates = nil // bounded by themselves
	doc, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if len(doc) > maxRecord {
		return refuse(Invalid, SchemaViolation, "the request makes a record of %d bytes, at most %d are allowed: shorten labels or description", len(doc), maxRecord)
	}
	return nil
}
