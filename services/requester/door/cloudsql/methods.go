package cloudsql

import (
	"strconv"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

const allInstances = "-"

func (c *call) caller() intake.Caller {
	return intake.Caller{Door: "cloudsql", Trace: events.Trace{Parent: c.Header.Get("traceparent"), State: c.Header.Get("tracestate")}}
}

// insertRun is backupRuns.insert (cloudsql.md 5.1).
func (d *Door) insertRun(c *call) (any, error) {
	project, instance := c.path["project"], c.path["instance"]
	if instance == allInstances {
		return nil, errDash
	}
	description, location, err := readInsert(c.Body)
	if err != nil {
		return nil, err
	}
	receipt, err := d.intake.Create(c.Context(), intake.Create{
		Caller: c.caller(), Project: project, Instance: instance, Description: description, Location: location, WholeInstance: true,
	})
	if err != nil {
		return nil, err
	}
	return c.links.ofOperation(lifecycle.OperationsOf(receipt.Backup)[0]), nil
}

// listRuns is backupRuns.list (5.2): newest first, `-` for all instances of the project.
func (d *Door) listRuns(c *call) (any, error) {
	project, instance := c.path["project"], c.path["instance"]
	cursor, limit, err := c.page("backupRuns", instance)
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
		out.Items = append(out.Items, c.links.backupRun(b))
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
	switch lifecycle.PhaseOf(b) {
	case lifecycle.Gone:
		return nil, errGone
	case lifecycle.Waiting, lifecycle.Working, lifecycle.Stopping, lifecycle.Deleting:
		return nil, errInProgress
	}
	receipt, err := d.intake.Delete(c.Context(), intake.Change{Caller: c.caller(), Project: b.Project, BackupID: b.BackupID, WholeInstance: true})
	if err != nil {
		return nil, err
	}
	ops := lifecycle.OperationsOf(receipt.Backup)
	return c.links.ofOperation(ops[len(ops)-1]), nil
}

// run finds the run that a path names, and hides one whose tombstone has gone (PD-3, PD-16, PD-17).
func (d *Door) run(c *call) (events.Backup, error) {
	project, instance, id := c.path["project"], c.path["instance"], c.path["id"]
	if instance == allInstances {
		return events.Backup{}, errDash
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n <= 0 {
		return events.Backup{}, invalid("the id of a backup run is a positive int64.")
	}
	if _, err := d.intake.Instance(c.Context(), project, instance); err != nil {
		return events.Backup{}, err
	}
	b, err := d.intake.BackupByCloudSQL(c.Context(), project, instance, strconv.FormatInt(n, 10))
	if err != nil {
		return b, err
	}
	if lifecycle.PhaseOf(b) == lifecycle.Gone && d.now().Sub(b.Deletion.EndTime.Time) > d.c.Tombstone {
		return b, errNoRun
	}
	return b, nil
}

// getOperation is operations.get (6).
func (d *Door) getOperation(c *call) (any, error) {
	op, err := d.intake.Operation(c.Context(), c.path["project"], c.path["operation"])
	if err != nil {
		return nil, err
	}
	return c.links.ofOperation(op), nil
}

// listOperations is operations.list (6).
func (d *Door) listOperations(c *call) (any, error) {
	project, instance := c.path["project"], c.query.Get("instance")
	cursor, limit, err := c.page("operations", instance)
	if err != nil {
		return nil, err
	}
	if instance != "" {
		if _, err := d.intake.Instance(c.Context(), project, instance); err != nil {
			return nil, err
		}
	}
	list, next, err := d.intake.Operations(c.Context(), project, instance, cursor, limit)
	if err != nil {
		return nil, err
	}
	out := operationsList{Kind: "sql#operationsList", NextPageToken: c.next("operations", instance, next)}
	for _, op := range list {
		out.Items = append(out.Items, c.links.ofOperation(op))
	}
	return out, nil
}

// getInstance is instances.get (8).
func (d *Door) getInstance(c *call) (any, error) {
	i, err := d.intake.Instance(c.Context(), c.path["project"], c.path["instance"])
	if err != nil {
		return nil, err
	}
	return c.links.ofInstance(i), nil
}

// listInstances is instances.list (8).
func (d *Door) listInstances(c *call) (any, error) {
	cursor, limit, err := c.page("instances", "")
	if err != nil {
		return nil, err
	}
	list, next, err := d.intake.Instances(c.Context(), c.path["project"], cursor, limit)
	if err != nil {
		return nil, err
	}
	out := instancesList{Kind: "sql#instancesList", NextPageToken: c.next("instances", "", next)}
	for _, i := range list {
		out.Items = append(out.Items, c.links.ofInstance(i))
	}
	return out, nil
}
