package view

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Reader is what other services read the view through. Names are raw. What is not there is events.ErrNotFound;
// any other error means that the view could not be read. A list takes the cursor that came with the page
// before (or none) and gives at most limit entries; a cursor stays good while entries come and go. Safe for
// concurrent use.
type Reader interface {
	Backup(ctx context.Context, project, id string) (events.Backup, error)
	// BackupByCloudSQL finds a backup by the run id that Cloud SQL shows.
	BackupByCloudSQL(ctx context.Context, project, instance, runID string) (events.Backup, error)
	// BackupByGaussDB finds a backup by the id that GaussDB shows.
	BackupByGaussDB(ctx context.Context, project, id string) (events.Backup, error)
	// InstanceNameByGaussDB is the name of the instance with that id, also of one that was deregistered.
	InstanceNameByGaussDB(ctx context.Context, project, id string) (string, error)
	// Listed is a page of a numbered list, newest first, from the one with that offset on, and how many there are.
	// Within limits (ErrTooMany) it is exact for every selection.
	Listed(ctx context.Context, project string, l lifecycle.Listing, offset, limit int) ([]events.Backup, int, error)
	// Restorable are the moments of an instance whose data can be put back, the oldest first: at most limit, the
	// newest of those between from and to, both inclusive. Zero is no bound.
	Restorable(ctx context.Context, project, instance string, from, to time.Time, limit int) ([]time.Time, error)
	// BackupBySpanner finds the backup that stands (lifecycle.Standing) by the id that Spanner shows.
	BackupBySpanner(ctx context.Context, project, instance, name string) (events.Backup, error)
	// Standing are the backups of an instance that stand, in the order of lifecycle.CreationKey, which is the cursor
	// of each.
	Standing(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error)
	// Creations are the backups of an instance that were asked for since a moment, gone ones too, and then the older
	// ones that are being made, in the order of lifecycle.CreationKey, which is the cursor of each: those with a name
	// of Spanner's, or all if it is empty. The zero moment is no bound.
	Creations(ctx context.Context, project, instance, name string, since time.Time, cursor string, limit int) ([]events.Backup, string, error)
	// Restorals are the restores into a database (lifecycle.TargetDatabase), likewise by lifecycle.RestoreKey.
	Restorals(ctx context.Context, project, instance, database string, since time.Time, cursor string, limit int) ([]events.Restore, string, error)
	// Backups are those not deleted, newest first; of one instance, or of the project if it is empty.
	Backups(ctx context.Context, project, instance string, cursor string, limit int) ([]events.Backup, string, error)
	// Active are the backups that occupy an instance, with the stream sequence up to which this is known.
	Active(ctx context.Context, project, instance string) ([]events.Backup, uint64, error)
	// Restoring are the restores that read a backup and have not ended.
	Restoring(ctx context.Context, project, backupID string) ([]events.Restore, error)
	// RestoringFrom are the restores that read a backup of an instance and have not ended.
	RestoringFrom(ctx context.Context, project, instance string) ([]events.Restore, error)
	// CopyingFrom are the copies of an instance's backups that are being made.
	CopyingFrom(ctx context.Context, project, instance string) ([]events.Backup, error)
	// RestoringInto are the restores that write into an instance and have not ended.
	RestoringInto(ctx context.Context, project, instance string) ([]events.Restore, error)
	Progress(ctx context.Context, project, id string) (events.Progress, error)
	// Peaks are the highest percentages that were told of backups, in any of their attempts, and of restores; who is not there has none.
	Peaks(ctx context.Context, project string, ids []string) (map[string]int, error)
	Restore(ctx context.Context, project, id string) (events.Restore, error)
	Instance(ctx context.Context, project, name string) (events.Instance, error)
	// Instances are sorted by name.
	Instances(ctx context.Context, project string, cursor string, limit int) ([]events.Instance, string, error)
	// SchedulesByID are those that are there of the ids, which are functions of their names (events.ScheduleID).
	SchedulesByID(ctx context.Context, project string, ids []string) ([]events.Schedule, error)
	// Generations are those of the schedules with these ids, also of removed ones: their numbers go on.
	Generations(ctx context.Context, project string, ids []string) (map[string]int, error)
	// Schedules are sorted by id; of one instance, or of the project if it is empty.
	Schedules(ctx context.Context, project, instance string, cursor string, limit int) ([]events.Schedule, string, error)
	Operation(ctx context.Context, project, id string) (lifecycle.Operation, error)
	// ShortOperation finds a creation or a restore by the first 16 hex digits of its operation's id.
	ShortOperation(ctx context.Context, project, digits string) (lifecycle.Operation, error)
	// Operations are sorted by start time, newest first; of one instance, or of the project if it is empty.
	Operations(ctx context.Context, project, instance string, cursor string, limit int) ([]lifecycle.Operation, string, error)
	// Health is the last good backup of an instance and what became of the slots that were due since a moment.
	Health(ctx context.Context, project, instance string, since time.Time) (lifecycle.Health, error)
	// Position is how far the view is, and in which log.
	Position(ctx context.Context, project string) (Checkpoint, error)
	// Reached is the stream sequence up to which the view is.
	Reached(ctx context.Context, project string) (uint64, error)
	// Moved returns when the view has applied any event after a stream sequence, or when ctx ends.
	Moved(ctx context.Context, project string, seq uint64) error
	// Passed returns when the view has applied the event with this stream sequence, or when ctx ends.
	Passed(ctx context.Context, project string, seq uint64) error
}

// progressLife is how long the last progress of a backup is kept: longer than its operation is listed after it has
// ended (spanner.md 4.6).
const progressLife = 15 * 24 * time.Hour

// View gives a Store's keys their meaning.
type View struct {
	store  Store
	shards int
}

var _ Reader = (*View)(nil)

// New returns the view in store; shards is fixed when the bus is provisioned (bus.LogState).
func New(store Store, shards int) *View { return &View{store, shards} }

// Backup implements Reader.
func (v *View) Backup(ctx context.Context, project, id string) (events.Backup, error) {
	return one[events.Backup](ctx, v, Key{project, events.Backups, id})
}

// BackupByCloudSQL implements Reader.
func (v *View) BackupByCloudSQL(ctx context.Context, project, instance, runID string) (events.Backup, error) {
	id, err := v.ref(ctx, refKey(v.shard(project), byCloudSQL, project, instance, runID))
	if err != nil {
		return events.Backup{}, err
	}
	return v.Backup(ctx, project, id)
}

// BackupBySpanner implements Reader.
func (v *View) BackupBySpanner(ctx context.Context, project, instance, name string) (events.Backup, error) {
	id, err := v.ref(ctx, refKey(v.shard(project), bySpanner, project, instance, name))
	if err != nil {
		return events.Backup{}, err
	}
	return v.Backup(ctx, project, id)
}

// Backups implements Reader.
func (v *View) Backups(ctx context.Context, project, instance string, cursor string, limit int) ([]events.Backup, string, error) {
	members, next, err := v.page(ctx, v.listKey(backupsOf, project, instance), cursor, limit, true)
	if err != nil {
		return nil, "", err
	}
	list, err := many[events.Backup](ctx, v, project, events.Backups, ids(members))
	return list, next, err
}

// Active implements Reader. The position is read first: what is newer than it may be in the list, and
// applying it again changes nothing.
func (v *View) Active(ctx context.Context, project, instance string) ([]events.Backup, uint64, error) {
	cp, err := v.checkpoint(ctx, v.shard(project))
	if err != nil {
		return nil, 0, err
	}
	members, err := v.all(ctx, setKey(v.shard(project), activeOf, project, instance))
	if err != nil {
		return nil, 0, err
	}
	list, err := many[events.Backup](ctx, v, project, events.Backups, members)
	return list, cp.Seq, err
}

// Restoring implements Reader.
func (v *View) Restoring(ctx context.Context, project, backupID string) ([]events.Restore, error) {
	return v.restores(ctx, project, setKey(v.shard(project), restoringOf, project, backupID))
}

// RestoringFrom implements Reader.
func (v *View) RestoringFrom(ctx context.Context, project, instance string) ([]events.Restore, error) {
	return v.restores(ctx, project, setKey(v.shard(project), restoringFrom, project, instance))
}

// CopyingFrom implements Reader.
func (v *View) CopyingFrom(ctx context.Context, project, instance string) ([]events.Backup, error) {
	members, err := v.all(ctx, setKey(v.shard(project), copyingFrom, project, instance))
	if err != nil {
		return nil, err
	}
	return many[events.Backup](ctx, v, project, events.Backups, members)
}

// RestoringInto implements Reader.
func (v *View) RestoringInto(ctx context.Context, project, instance string) ([]events.Restore, error) {
	return v.restores(ctx, project, setKey(v.shard(project), restoringInto, project, instance))
}

func (v *View) restores(ctx context.Context, project, set string) ([]events.Restore, error) {
	ids, err := v.all(ctx, set)
	if err != nil {
		return nil, err
	}
	return many[events.Restore](ctx, v, project, events.Restores, ids)
}

// progress is what is kept of the progress of a backup or a restore.
type progress struct {
	events.Progress
	Peak int `json:"peak,omitempty"`
}

// Progress implements Reader.
func (v *View) Progress(ctx context.Context, project, id string) (events.Progress, error) {
	found, err := v.progresses(ctx, project, []string{id})
	if err != nil {
		return events.Progress{}, err
	}
	p, there := found[id]
	if !there {
		return events.Progress{}, events.ErrNotFound
	}
	return p.Progress, nil
}

// Peaks implements Reader.
func (v *View) Peaks(ctx context.Context, project string, ids []string) (map[string]int, error) {
	found, err := v.progresses(ctx, project, ids)
	peaks := map[string]int{}
	for id, p := range found {
		peaks[id] = p.Peak
	}
	return peaks, err
}

func (v *View) progresses(ctx context.Context, project string, ids []string) (map[string]progress, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = progressKey(v.shard(project), project, id)
	}
	got, err := v.store.Get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	found := map[string]progress{}
	for i, doc := range got {
		if doc == nil {
			continue
		}
		var p progress
		if err := json.Unmarshal(doc, &p); err != nil {
			return nil, fmt.Errorf("progress of %s in the view: %w", ids[i], err)
		}
		found[ids[i]] = p
	}
	return found, nil
}

// Restore implements Reader.
func (v *View) Restore(ctx context.Context, project, id string) (events.Restore, error) {
	return one[events.Restore](ctx, v, Key{project, events.Restores, id})
}

// Instance implements Reader.
func (v *View) Instance(ctx context.Context, project, name string) (events.Instance, error) {
	id, err := v.ref(ctx, refKey(v.shard(project), byInstanceName, project, name))
	if err != nil {
		return events.Instance{}, err
	}
	return one[events.Instance](ctx, v, Key{project, events.Instances, id})
}

// Instances implements Reader.
func (v *View) Instances(ctx context.Context, project string, cursor string, limit int) ([]events.Instance, string, error) {
	names, next, err := v.page(ctx, v.listKey(instancesOf, project, ""), cursor, limit, false)
	if err != nil || len(names) == 0 {
		return nil, "", err
	}
	keys := make([]string, len(names))
	for i, n := range names {
		keys[i] = refKey(v.shard(project), byInstanceName, project, n)
	}
	found, err := v.store.Get(ctx, keys...)
	if err != nil {
		return nil, "", err
	}
	list, err := many[events.Instance](ctx, v, project, events.Instances, texts(found))
	return list, next, err
}

// Position implements Reader.
func (v *View) Position(ctx context.Context, project string) (Checkpoint, error) {
	return v.checkpoint(ctx, v.shard(project))
}

// Reached implements Reader.
func (v *View) Reached(ctx context.Context, project string) (uint64, error) {
	cp, err := v.Position(ctx, project)
	return cp.Seq, err
}

// Moved implements Reader.
func (v *View) Moved(ctx context.Context, project string, seq uint64) error {
	return v.Passed(ctx, project, seq+1)
}

// Passed implements Reader.
func (v *View) Passed(ctx context.Context, project string, seq uint64) error {
	key := checkpointKey(v.shard(project))
	for {
		got, err := v.store.Get(ctx, key)
		if err != nil {
			return err
		}
		var cp Checkpoint
		if got[0] != nil {
			if err := json.Unmarshal(got[0], &cp); err != nil {
				return fmt.Errorf("checkpoint of the view: %w", err)
			}
		}
		if cp.Seq >= seq {
			return nil
		}
		if err := v.store.Changed(ctx, key, got[0]); err != nil {
			return err
		}
	}
}

func (v *View) shard(project string) int { return Shard(project, v.shards) }

func (v *View) listKey(s set, project, instance string) string {
	if instance == "" {
		return setKey(v.shard(project), s, project)
	}
	return setKey(v.shard(project), s, project, instance)
}

func (v *View) ref(ctx context.Context, key string) (string, error) {
	got, err := v.store.Get(ctx, key)
	if err != nil {
		return "", err
	}
	if got[0] == nil {
		return "", events.ErrNotFound
	}
	return string(got[0]), nil
}

func one[R any](ctx context.Context, v *View, k Key) (R, error) {
	var zero R
	docs, err := v.Load(ctx, []Key{k})
	if err != nil {
		return zero, err
	}
	if docs[0].Head.Sequence == 0 {
		return zero, events.ErrNotFound
	}
	return record[R](docs[0])
}

func many[R any](ctx context.Context, v *View, project string, e events.Entity, ids []string) ([]R, error) {
	docs, err := v.Load(ctx, keysOf(project, e, ids))
	if err != nil {
		return nil, err
	}
	out := make([]R, 0, len(docs))
	for _, d := range docs {
		if d.Head.Sequence == 0 {
			continue // went between the two reads
		}
		r, err := record[R](d)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func keysOf(project string, e events.Entity, ids []string) []Key {
	keys := make([]Key, len(ids))
	for i, id := range ids {
		keys[i] = Key{project, e, id}
	}
	return keys
}

func ids(members []string) []string {
	out := make([]string, len(members))
	for i, m := range members {
		out[i] = idOf(m)
	}
	return out
}

func texts(values [][]byte) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// page reads one member more than asked for: whether there is one decides about the cursor.
func (v *View) page(ctx context.Context, key string, cursor string, limit int, newestFirst bool) (members []string, next string, err error) {
	r := Range{Limit: limit + 1, Reverse: newestFirst, Before: cursor}
	if !newestFirst {
		r.Before, r.After = "", cursor
	}
	members, err = v.store.Range(ctx, key, r)
	if err != nil || len(members) <= limit {
		return members, "", err
	}
	members = members[:limit]
	return members, members[len(members)-1], nil
}
