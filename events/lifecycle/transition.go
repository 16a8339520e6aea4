package lifecycle

import (
	"errors"
	"fmt"
	"slices"

	"github.com/backupbus/backupbus/events"
)

// ErrIllegal is returned for a step that the table does not allow.
var ErrIllegal = errors.New("illegal transition")

// Facts are what guards look at besides the state. They come from the record.
type Facts struct {
	Requested bool   // the backup was asked for at least once
	Cause     string // of a deletion
}

// Transition is one row of the table. A step that is not listed from a state is illegal there.
type Transition struct {
	Entity events.Entity
	Step   events.Step
	From   []events.State
	To     events.State // Unchanged: the state stays
	Guard  func(from events.State, f Facts) bool
	When   string // the guard in words, for the diagram
}

// Unchanged stands in Transition.To for "stays as it was".
const Unchanged events.State = "="

func requested(from events.State, f Facts) bool      { return from != Overdue || f.Requested }
func neverRequested(from events.State, f Facts) bool { return from != Overdue || !f.Requested }
func unasked(_ events.State, f Facts) bool           { return f.Cause == "RETENTION" || f.Cause == "EXTERNAL" }

// table is the whole life cycle (events.md 3.1).
var table = slices.Concat(backups(), []Transition{
	{Entity: events.Restores, Step: events.Requested, From: []events.State{None}, To: Enqueued},
	{Entity: events.Restores, Step: events.Started, From: []events.State{Enqueued}, To: Running},
	{Entity: events.Restores, Step: events.ProgressStep, From: []events.State{Running}, To: Unchanged},
	{Entity: events.Restores, Step: events.Succeeded, From: []events.State{Running}, To: Successful},
	{Entity: events.Restores, Step: events.Failed, From: []events.State{Enqueued, Running}, To: Failed},

	{Entity: events.Requests, Step: events.Rejected, From: []events.State{None, Rejected}, To: Rejected},
	{Entity: events.Requests, Step: events.Accepted, From: []events.State{None, Rejected}, To: Accepted},
	{Entity: events.Deliveries, Step: events.DeadLettered, From: []events.State{None}, To: Dead},
},
	resource(events.Instances, events.Registered, events.Deregistered, events.Updated),
	resource(events.Schedules, events.Created, events.Deleted, events.Updated),
	resource(events.Subscriptions, events.Created, events.Deleted, events.Updated, events.Failing, events.Disabled),
)

func backups() []Transition {
	rows := []Transition{
		{Step: events.Requested, From: []events.State{None, Overdue}, To: Enqueued, Guard: neverRequested, When: "OVERDUE: never requested"},
		{Step: events.Skipped, From: []events.State{None, Enqueued, Overdue}, To: Skipped},
		{Step: events.Overdue, From: []events.State{None, Enqueued}, To: Overdue},
		{Step: events.Overdue, From: []events.State{Running}, To: Unchanged},
		{Step: events.Updated, From: []events.State{Enqueued, Overdue, Running, Cancelling, Successful, DeletionFailed}, To: Unchanged},
		{Step: events.Started, From: []events.State{Enqueued, Overdue}, To: Running, Guard: requested, When: "OVERDUE: requested"},
		{Step: events.ProgressStep, From: []events.State{Running, Cancelling}, To: Unchanged},
		{Step: events.AttemptFailed, From: []events.State{Running}, To: Enqueued},
		{Step: events.Succeeded, From: []events.State{Running, Cancelling}, To: Successful},
		{Step: events.Failed, From: []events.State{Enqueued, Overdue, Running, Cancelling}, To: Failed},
		{Step: events.CancelRequested, From: []events.State{Enqueued, Overdue, Running}, To: Cancelling},
		{Step: events.Cancelled, From: []events.State{Cancelling}, To: Cancelled},
		{Step: events.VerificationRequested, From: []events.State{Successful, DeletionFailed}, To: Unchanged},
		{Step: events.Verified, From: []events.State{Successful, DeletionFailed}, To: Unchanged},
		{Step: events.VerificationFailed, From: []events.State{Successful, DeletionFailed}, To: Unchanged},
		{Step: events.DeletionRequested, From: []events.State{Successful, Failed, Skipped, Cancelled, DeletionFailed, Overdue}, To: DeletionPending, Guard: neverRequested, When: "OVERDUE: never requested"},
		{Step: events.Deleted, From: []events.State{DeletionPending}, To: Deleted},
		{Step: events.Deleted, From: []events.State{Successful, Failed, DeletionFailed}, To: Deleted, Guard: unasked, When: "cause RETENTION or EXTERNAL"},
		{Step: events.DeletionFailed, From: []events.State{DeletionPending}, To: DeletionFailed},
	}
	for i := range rows {
		rows[i].Entity = events.Backups
	}
	return rows
}

// resource is the life of what is made, changed and removed; a removed name may be made again.
func resource(e events.Entity, born, gone events.Step, changes ...events.Step) []Transition {
	rows := []Transition{
		{Entity: e, Step: born, From: []events.State{None, Removed}, To: Present},
		{Entity: e, Step: gone, From: []events.State{Present}, To: Removed},
	}
	for _, s := range changes {
		rows = append(rows, Transition{Entity: e, Step: s, From: []events.State{Present}, To: Present})
	}
	return rows
}

// Check is for writers: it returns the state that the step leads to, or ErrIllegal, in which case the
// event must not be published.
func Check(e events.Entity, s events.Step, from events.State, f Facts) (events.State, error) {
	for _, t := range table {
		if t.Entity != e || t.Step != s || !slices.Contains(t.From, from) {
			continue
		}
		if t.Guard != nil && !t.Guard(from, f) {
			continue
		}
		if t.To == Unchanged {
			return from, nil
		}
		return t.To, nil
	}
	shown := from
	if from == None {
		shown = "not there"
	}
	return None, fmt.Errorf("%w: %s.%s when it is %s", ErrIllegal, e, s, shown)
}

// Allowed tells whether a step may follow now: for a door that wants to answer before it tries.
func Allowed(b events.Backup, s events.Step, f Facts) bool {
	f.Requested = b.EverRequested()
	_, err := Check(events.Backups, s, b.State, f)
	return err == nil
}
