package view

import (
	"fmt"
	"strings"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// entries are the keys under which a document can be found.
type entries struct {
	refs    map[string]string // key → id
	members map[Member]bool
}

// entriesOf computes them from nothing but the document: this is what makes a rebuild exact.
func entriesOf(d Doc, shard int) (entries, error) {
	e := entries{map[string]string{}, map[Member]bool{}}
	if d.Head.Sequence == 0 {
		return e, nil
	}
	switch d.Key.Entity {
	case events.Backups:
		b, err := record[events.Backup](d)
		if err != nil {
			return e, err
		}
		e.backup(shard, b)
	case events.Restores:
		r, err := record[events.Restore](d)
		if err != nil {
			return e, err
		}
		e.operations(shard, r.Project, lifecycle.OperationOf(r))
		e.add(setKey(shard, restoralsInto, r.Project, r.Target.Instance), named(lifecycle.TargetDatabase(r))+lifecycle.RestoreKey(r))
		if lifecycle.RestorePhaseOf(r) != lifecycle.Ended {
			e.add(setKey(shard, restoringOf, r.Project, r.BackupID), r.RestoreID)
			e.add(setKey(shard, restoringFrom, r.Project, r.Instance), r.RestoreID)
			e.add(setKey(shard, restoringInto, r.Project, r.Target.Instance), r.RestoreID)
		}
	case events.Instances:
		i, err := record[events.Instance](d)
		if err != nil {
			return e, err
		}
		if i.IDs.GaussDB != "" {
			e.refs[refKey(shard, byGaussInst, i.Project, i.IDs.GaussDB)] = i.Instance
		}
		if d.Head.Present() {
			e.refs[refKey(shard, byInstanceName, i.Project, i.Instance)] = i.InstanceID
			e.add(setKey(shard, instancesOf, i.Project), i.Instance)
			e.add(fleetKey(shard), Named{i.Project, i.Instance}.member())
		}
	case events.Schedules:
		s, err := record[events.Schedule](d)
		if err != nil {
			return e, err
		}
		e.schedule(shard, s, d.Head.Present())
	}
	return e, nil
}

// schedule: the operations of a removed one stay.
func (e entries) schedule(shard int, s events.Schedule, present bool) {
	for _, op := range lifecycle.OperationsOfSchedule(s) {
		e.operations(shard, s.Project, op)
	}
	if present {
		e.add(setKey(shard, schedulesOf, s.Project), s.ScheduleID)
		e.add(setKey(shard, schedulesOf, s.Project, s.Instance), s.ScheduleID)
	}
}

func (e entries) backup(shard int, b events.Backup) {
	e.refs[refKey(shard, byCloudSQL, b.Project, b.Instance, b.IDs.CloudSQL)] = b.BackupID
	if lifecycle.PhaseOf(b) != lifecycle.Gone {
		m := backupMember(b)
		e.add(setKey(shard, backupsOf, b.Project), m)
		e.add(setKey(shard, backupsOf, b.Project, b.Instance), m)
	}
	e.refs[refKey(shard, byGaussDB, b.Project, shortGauss(b.IDs.GaussDB))] = b.BackupID
	e.listed(shard, b)
	if lifecycle.Standing(b) {
		e.refs[refKey(shard, bySpanner, b.Project, b.Instance, b.IDs.Spanner)] = b.BackupID
		e.add(setKey(shard, standingOf, b.Project, b.Instance), lifecycle.CreationKey(b))
	}
	if b.EverRequested() {
		e.add(setKey(shard, creationsOf, b.Project, b.Instance), lifecycle.CreationKey(b))
		e.add(setKey(shard, creationsNamed, b.Project, b.Instance), named(b.IDs.Spanner)+lifecycle.CreationKey(b))
	}
	if trusted(b) {
		e.add(setKey(shard, goodOf, b.Project, b.Instance), goodMember(b))
	}
	if outcome, ok := lifecycle.SlotOf(b); ok {
		e.add(setKey(shard, slotsOf, b.Project, b.Instance), slotMember(b, outcome))
	}
	if lifecycle.Occupies(b, true) {
		e.add(setKey(shard, activeOf, b.Project, b.Instance), b.BackupID)
	}
	if b.CopyOf != nil && lifecycle.Occupies(b, false) {
		e.add(setKey(shard, copyingFrom, b.Project, b.CopyOf.Instance), b.BackupID)
	}
	for _, op := range lifecycle.OperationsOf(b) {
		e.operations(shard, b.Project, op)
	}
}

func (e entries) operations(shard int, project string, op lifecycle.Operation) {
	e.refs[refKey(shard, byOperation, project, op.ID)] = string(op.Entity) + "/" + op.Aggregate
	if op.Kind == lifecycle.Creation || op.Kind == lifecycle.Restoral {
		e.refs[refKey(shard, byShort, project, shortOf(op.ID))] = op.ID
	}
	m := operationMember(op)
	e.add(setKey(shard, operationsOf, project), m)
	e.add(setKey(shard, operationsOf, project, op.Instance), m)
}

func (e entries) add(set, value string) { e.members[Member{set, value}] = true }

// backupMember sorts by enqueued time, then by the number that Cloud SQL shows.
func backupMember(b events.Backup) string {
	return fmt.Sprintf("%015d.%019s.%s", b.EnqueuedTime.UnixMilli(), b.IDs.CloudSQL, b.BackupID)
}

// shortOf are the first 16 hex digits of a UUID (events.md 1.4).
func shortOf(id string) string {
	digits := strings.ReplaceAll(id, "-", "")
	return digits[:min(16, len(digits))]
}

func operationMember(op lifecycle.Operation) string {
	at := op.InsertTime
	if !op.StartTime.IsZero() {
		at = op.StartTime
	}
	return fmt.Sprintf("%015d.%s", at.UnixMilli(), op.ID)
}

// idOf is the end of a member.
func idOf(member string) string { return member[strings.LastIndexByte(member, '.')+1:] }

// diff adds to w what turns the entries of one document into those of the next.
func diff(w *Writes, before, after entries) {
	for k := range before.refs {
		if _, stays := after.refs[k]; !stays {
			w.Delete = append(w.Delete, k)
		}
	}
	for k, id := range after.refs {
		if before.refs[k] != id {
			w.Put = append(w.Put, Pair{Key: k, Value: []byte(id)})
		}
	}
	for m := range before.members {
		if !after.members[m] {
			w.Remove = append(w.Remove, m)
		}
	}
	for m := range after.members {
		if !before.members[m] {
			w.Add = append(w.Add, m)
		}
	}
}
