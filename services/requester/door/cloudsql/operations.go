package cloudsql

import (
	"github.com/backupbus/backupbus/events/lifecycle"
)

// getOperation is operations.get (6).
func (d *Door) getOperation(c *call) (any, error) {
	op, err := d.operation(c)
	if err != nil {
		return nil, err
	}
	return c.links.ofOperation(op), nil
}

// operation finds the one that a path names; those that ended long ago (PD-19), and those of an instance that is
// gone, are no longer there.
func (d *Door) operation(c *call) (lifecycle.Operation, error) {
	op, err := d.intake.Operation(c.Context(), c.path["project"], c.path["operation"])
	if err != nil {
		return op, err
	}
	if d.forgotten(op) {
		return op, errNoOperation
	}
	if _, err := d.intake.Instance(c.Context(), op.Project, op.Instance); err != nil {
		if convertError(err) == errNoInstance {
			err = errNoOperation
		}
		return op, err
	}
	return op, nil
}

func (d *Door) forgotten(op lifecycle.Operation) bool {
	return op.Done && d.now().Sub(op.EndTime.Time) > d.c.KeepOperations
}

// listOperations is operations.list (6). The instance is a filter: one that is not there has no operations. A page
// may be short, or empty, where operations are forgotten or their instance is gone.
func (d *Door) listOperations(c *call) (any, error) {
	list, next, err := d.operations(c, c.query.Get("instance"))
	if err != nil {
		return nil, err
	}
	out := operationsList{Kind: "sql#operationsList", NextPageToken: next}
	for _, op := range list {
		out.Items = append(out.Items, c.links.ofOperation(op))
	}
	return out, nil
}

// operations is a page of them, of one instance or of all.
func (d *Door) operations(c *call, instance string) (list []lifecycle.Operation, next string, err error) {
	cursor, limit, err := c.page("operations", instance, counts)
	if err != nil {
		return nil, "", err
	}
	all, at, err := d.intake.Operations(c.Context(), c.path["project"], instance, cursor, limit)
	if err != nil {
		return nil, "", err
	}
	there := map[string]bool{} // by instance
	for _, op := range all {
		known, asked := there[op.Instance]
		if !asked {
			_, err := d.intake.Instance(c.Context(), op.Project, op.Instance)
			if err != nil && convertError(err) != errNoInstance {
				return nil, "", err
			}
			known = err == nil
			there[op.Instance] = known
		}
		if known && !d.forgotten(op) {
			list = append(list, op)
		}
	}
	return list, c.next("operations", instance, at), nil
}

// cancelOperation is operations.cancel (PD-9): of what there is here, nothing can be cancelled.
func (d *Door) cancelOperation(c *call) (any, error) {
	op, err := d.operation(c)
	if err != nil {
		return nil, err
	}
	if op.Done {
		return nil, invalid("the operation is not in progress.")
	}
	return nil, invalid("an operation of type " + operationType(op.Kind) + " cannot be cancelled.")
}
