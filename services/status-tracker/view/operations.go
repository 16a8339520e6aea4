package view

import (
	"context"
	"strings"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Operation implements Reader.
func (v *View) Operation(ctx context.Context, project, id string) (lifecycle.Operation, error) {
	ref, err := v.ref(ctx, refKey(v.shard(project), byOperation, project, id))
	if err != nil {
		return lifecycle.Operation{}, err
	}
	ops, err := v.operationsOf(ctx, project, []string{id}, []string{ref})
	if err != nil {
		return lifecycle.Operation{}, err
	}
	if len(ops) == 0 {
		return lifecycle.Operation{}, events.ErrNotFound
	}
	return ops[0], nil
}

// ShortOperation implements Reader.
func (v *View) ShortOperation(ctx context.Context, project, digits string) (lifecycle.Operation, error) {
	id, err := v.ref(ctx, refKey(v.shard(project), byShort, project, digits))
	if err != nil {
		return lifecycle.Operation{}, err
	}
	return v.Operation(ctx, project, id)
}

// Operations implements Reader.
func (v *View) Operations(ctx context.Context, project, instance string, cursor string, limit int) ([]lifecycle.Operation, string, error) {
	members, next, err := v.page(ctx, v.listKey(operationsOf, project, instance), cursor, limit, true)
	if err != nil || len(members) == 0 {
		return nil, "", err
	}
	wanted := ids(members)
	keys := make([]string, len(wanted))
	for i, id := range wanted {
		keys[i] = refKey(v.shard(project), byOperation, project, id)
	}
	refs, err := v.store.Get(ctx, keys...)
	if err != nil {
		return nil, "", err
	}
	ops, err := v.operationsOf(ctx, project, wanted, texts(refs))
	return ops, next, err
}

// operationsOf computes operations from the aggregates that refs ("{entity}/{id}") name.
func (v *View) operationsOf(ctx context.Context, project string, wanted, refs []string) ([]lifecycle.Operation, error) {
	keys := make([]Key, len(refs))
	for i, ref := range refs {
		entity, id, _ := strings.Cut(ref, "/")
		keys[i] = Key{project, events.Entity(entity), id}
	}
	docs, err := v.Load(ctx, keys)
	if err != nil {
		return nil, err
	}
	var out []lifecycle.Operation
	for i, d := range docs {
		if d.Head.Sequence == 0 {
			continue
		}
		var all []lifecycle.Operation
		switch d.Key.Entity {
		case events.Backups:
			b, err := record[events.Backup](d)
			if err != nil {
				return nil, err
			}
			all = lifecycle.OperationsOf(b)
		case events.Restores:
			r, err := record[events.Restore](d)
			if err != nil {
				return nil, err
			}
			all = []lifecycle.Operation{lifecycle.OperationOf(r)}
		case events.Schedules:
			s, err := record[events.Schedule](d)
			if err != nil {
				return nil, err
			}
			all = lifecycle.OperationsOfSchedule(s)
		}
		for _, op := range all {
			if op.ID == wanted[i] {
				out = append(out, op)
			}
		}
	}
	return out, nil
}
