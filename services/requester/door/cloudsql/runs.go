package cloudsql

import (
	"errors"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

const (
	allInstances   = "-"
	maxDescription = 1024 // PD-12
)

func (c *call) caller() intake.Caller {
	return intake.Caller{Door: "cloudsql", Name: c.who.Name(), Trace: events.Trace{Parent: c.Header.Get("traceparent"), State: c.Header.Get("tracestate")}}
}

// insertRun is backupRuns.insert (cloudsql.md 5.1).
func (d *Door) insertRun(c *call) (any, error) {
	project, instance := c.path["project"], c.path["instance"]
	if instance == allInstances {
		return nil, errDash
	}
	body, err := readBody(c.Body)
	if err != nil {
		return nil, err
	}
	description, location := body.text("description"), body.text("location")
	if err := body.err(); err != nil {
		return nil, err
	}
	return d.create(c, project, instance, intake.Create{Description: description.value, Location: location.value})
}

// create asks for an on-demand backup of an instance that is there and runs, and answers with its operation.
func (d *Door) create(c *call, project, instance string, ask intake.Create) (any, error) {
	switch { // what is wrong for any instance is said before whether it is there (3)
	case ask.Location != "" && !locationForm.MatchString(ask.Location):
		return nil, errLocation
	case utf8.RuneCountInString(ask.Description) > maxDescription:
		return nil, invalid("description is longer than 1024 characters.")
	}
	in, err := d.instance(c, project, instance)
	if err != nil {
		return nil, err
	}
	if err := d.located(ask.Location, in); err != nil {
		return nil, err
	}
	if err := in.accepts(); err != nil {
		return nil, err
	}
	ask.Caller, ask.Project, ask.Instance, ask.WholeInstance = c.caller(), project, instance, true
	if ask.Location == "" {
		ask.Location = in.location()
	}
	if ask.NotBefore, ask.Failure, err = d.limit(c, project, instance); err != nil {
		return nil, err
	}
	receipt, err := d.intake.Create(c.Context(), ask)
	if err != nil {
		return nil, err
	}
	// As it was accepted, whatever has become of it since.
	accepted := receipt.Backup
	accepted.StartTime, accepted.EndTime, accepted.Error = events.Time{}, events.Time{}, nil
	return c.links.ofOperation(lifecycle.OperationsOf(accepted)[0]), nil
}

// listRuns is backupRuns.list (5.2): newest first, `-` for all instances of the project.
func (d *Door) listRuns(c *call) (any, error) {
	project, instance := c.path["project"], c.path["instance"]
	cursor, limit, err := c.page("backupRuns", instance, results)
	if err != nil {
		return nil, err
	}
	of := instance
	if instance == allInstances {
		of = ""
	} else if _, err := d.intake.Instance(c.Context(), project, instance); err != nil {
		return nil, err
	}
	list, next, err := d.intake.Backups(c.Context(), project, of, cursor, limit)
	if err != nil {
		return nil, err
	}
	out := backupRunsList{Kind: "sql#backupRunsList", NextPageToken: c.next("backupRuns", instance, next)}
	for _, b := range list {
		if lifecycle.PhaseOf(b) != lifecycle.Gone { // it may go while the list is read
			out.Items = append(out.Items, c.links.backupRun(b))
		}
	}
	return out, nil
}

// getRun is backupRuns.get (5.3).
func (d *Door) getRun(c *call) (any, error) {
	b, err := d.run(c)
	if err != nil {
		return nil, err
	}
	return c.links.backupRun(b), nil
}

// deleteRun is backupRuns.delete (5.4, PD-4).
func (d *Door) deleteRun(c *call) (any, error) {
	b, err := d.run(c)
	if err != nil {
		return nil, err
	}
	return d.remove(c, b, false)
}

// remove asks for the deletion of a backup, as a run or as the newer resource, and answers with its operation.
func (d *Door) remove(c *call, b events.Backup, resource bool) (any, error) {
	if lifecycle.PhaseOf(b) == lifecycle.Gone {
		return nil, errGone
	}
	i, err := d.intake.Instance(c.Context(), b.Project, b.Instance)
	switch {
	case err != nil && convertError(err) != errNoInstance: // a backup may outlive its instance
		return nil, err
	case err == nil && (configured{Instance: i}).transitional():
		return nil, errState
	}
	switch lifecycle.PhaseOf(b) {
	case lifecycle.Waiting, lifecycle.Working, lifecycle.Stopping, lifecycle.Deleting:
		return nil, errInProgress
	}
	receipt, err := d.intake.Delete(c.Context(), intake.Change{Caller: c.caller(), Project: b.Project, BackupID: b.BackupID, WholeInstance: true, Resource: resource})
	if err != nil {
		return nil, d.lost(c, b, err)
	}
	ops := lifecycle.OperationsOf(receipt.Backup)
	return c.links.ofOperation(ops[len(ops)-1]), nil
}

// lost is why a deletion was refused: another one may have been faster, and done.
func (d *Door) lost(c *call, b events.Backup, err error) error {
	var refusal *intake.Error
	if !errors.As(err, &refusal) || refusal.Reason != intake.NotDeletable {
		return err
	}
	if now, rerr := d.intake.Backup(c.Context(), b.Project, b.BackupID); rerr == nil && lifecycle.PhaseOf(now) == lifecycle.Gone {
		return errGone
	}
	return err
}

// idForm is a decimal as Google writes it: no sign, no zero in front.
var idForm = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)

// run finds the run that a path names, and hides one whose tombstone has gone (PD-3, PD-16, PD-17).
func (d *Door) run(c *call) (events.Backup, error) {
	project, instance, id := c.path["project"], c.path["instance"], c.path["id"]
	if instance == allInstances {
		return events.Backup{}, errDash
	}
	if _, err := strconv.ParseInt(id, 10, 64); err != nil || !idForm.MatchString(id) {
		return events.Backup{}, invalid("the id of a backup run is a positive int64.")
	}
	if _, err := d.intake.Instance(c.Context(), project, instance); err != nil {
		return events.Backup{}, err
	}
	b, err := d.intake.BackupByCloudSQL(c.Context(), project, instance, id)
	if err != nil {
		return b, err
	}
	if lifecycle.PhaseOf(b) == lifecycle.Gone && d.now().Sub(b.Deletion.EndTime.Time) > d.c.Tombstone {
		return b, errNoRun
	}
	return b, nil
}
