package bus

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// check holds a decided payload against the table (events.md 3.1) once more: what is stored cannot be
// un-stored, so a Decide that forgot to advance the record, or advanced another one, must not get through.
func check(d Draft, last *events.Stored, p events.Payload) error {
	if p == nil {
		return errors.New("decided on no payload")
	}
	if p.Aggregate() != d.Aggregate {
		return fmt.Errorf("decided on a payload of another %s than %s", d.Aggregate.Entity, d.Aggregate.ID)
	}
	from, err := stateAfter(last)
	if err != nil {
		return err
	}
	switch r := p.(type) {
	case events.Backup:
		f := lifecycle.Facts{Requested: r.EverRequested()}
		if d.Step == events.Requested {
			f.Requested = r.Overdue != nil && r.Overdue.Requested
		}
		if r.Deletion != nil {
			f.Cause = r.Deletion.Cause
		}
		return fits(d, from, f, r.Step, r.PreviousState, r.State)
	case events.Restore:
		return fits(d, from, lifecycle.Facts{}, r.Step, r.PreviousState, r.State)
	}
	_, err = lifecycle.Check(d.Aggregate.Entity, d.Step, from, lifecycle.Facts{})
	return err
}

// fits compares what a record says of its way with the way that the table knows.
func fits(d Draft, from events.State, f lifecycle.Facts, step events.Step, previous, state events.State) error {
	to, err := lifecycle.Check(d.Aggregate.Entity, d.Step, from, f)
	if err != nil {
		return err
	}
	if step != d.Step || previous != from || state != to {
		return fmt.Errorf("%w: the record says %s from %q to %q, not %s from %q to %q",
			ErrIllegal, step, previous, state, d.Step, from, to)
	}
	return nil
}

// stateAfter is the state that an aggregate is in after its last event: what the record says, or, for what
// carries no state, where the step leads.
func stateAfter(last *events.Stored) (events.State, error) {
	if last == nil {
		return lifecycle.None, nil
	}
	if e := last.Entity(); e != events.Backups && e != events.Restores {
		return leadsTo(e, last.Step())
	}
	var record struct {
		State events.State `json:"state"`
	}
	if err := json.Unmarshal(last.Data, &record); err != nil {
		return "", fmt.Errorf("last event %s: %w", last.ID, err)
	}
	return record.State, nil
}

// leadsTo asks the table from where a step can come: it leads to one state only.
func leadsTo(e events.Entity, s events.Step) (events.State, error) {
	for _, from := range []events.State{lifecycle.None, lifecycle.Present, lifecycle.Rejected} {
		if to, err := lifecycle.Check(e, s, from, lifecycle.Facts{}); err == nil {
			return to, nil
		}
	}
	return "", fmt.Errorf("last event is an unknown step %s.%s", e, s)
}
