package view

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// The lists below have the keys of events/lifecycle/order.go as members, so that whoever reads them can make the
// cursor of any record. They cost what they show, however much was ever made.

// Standing implements Reader.
func (v *View) Standing(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error) {
	members, next, err := v.page(ctx, setKey(v.shard(project), standingOf, project, instance), cursor, limit, false)
	if err != nil {
		return nil, "", err
	}
	list, err := many[events.Backup](ctx, v, project, events.Backups, ids(members))
	return list, next, err
}

// Creations implements Reader.
func (v *View) Creations(ctx context.Context, project, instance, name string, since time.Time, cursor string, limit int) ([]events.Backup, string, error) {
	set, prefix := setKey(v.shard(project), creationsOf, project, instance), ""
	if name != "" {
		set, prefix = setKey(v.shard(project), creationsNamed, project, instance), named(name)
	}
	members, next, err := v.recent(ctx, set, prefix, since, cursor, limit, func() (open []string, err error) {
		list, _, err := v.Active(ctx, project, instance)
		for _, b := range list {
			if b.EverRequested() && lifecycle.InTheMaking(b) && (name == "" || b.IDs.Spanner == name) {
				open = append(open, lifecycle.CreationKey(b))
			}
		}
		return open, err
	})
	if err != nil {
		return nil, "", err
	}
	list, err := many[events.Backup](ctx, v, project, events.Backups, ids(members))
	return list, next, err
}

// Restorals implements Reader.
func (v *View) Restorals(ctx context.Context, project, instance, database string, since time.Time, cursor string, limit int) ([]events.Restore, string, error) {
	set := setKey(v.shard(project), restoralsInto, project, instance)
	members, next, err := v.recent(ctx, set, named(database), since, cursor, limit, func() (open []string, err error) {
		list, err := v.RestoringInto(ctx, project, instance)
		for _, r := range list {
			if lifecycle.TargetDatabase(r) == database {
				open = append(open, lifecycle.RestoreKey(r))
			}
		}
		return open, err
	})
	if err != nil {
		return nil, "", err
	}
	list, err := many[events.Restore](ctx, v, project, events.Restores, ids(members))
	return list, next, err
}

// recent is a page of the members of a set that begin with a prefix: those since a moment, and then the open ones that
// are older. The prefix is no part of what it returns, nor of cursors.
func (v *View) recent(ctx context.Context, set, prefix string, since time.Time, cursor string, limit int, open func() ([]string, error)) (keys []string, next string, err error) {
	end := "~" // after every key
	if !since.IsZero() {
		end = lifecycle.MomentKey(since) + "/" // the byte after the point
	}
	if cursor < end {
		members, err := v.store.Range(ctx, set, Range{After: prefix + cursor, Before: prefix + end, Limit: limit + 1})
		if err != nil {
			return nil, "", err
		}
		for _, m := range members {
			keys = append(keys, strings.TrimPrefix(m, prefix))
		}
	}
	if len(keys) <= limit && !since.IsZero() {
		older, err := open()
		if err != nil {
			return nil, "", err
		}
		slices.Sort(older)
		for _, k := range older {
			if k > end && k > cursor {
				keys = append(keys, k)
			}
		}
	}
	if len(keys) > limit {
		return keys[:limit], keys[limit-1], nil
	}
	return keys, "", nil
}

// all are the members of a set.
func (v *View) all(ctx context.Context, set string) (members []string, err error) {
	for {
		r := Range{Limit: readAtOnce}
		if n := len(members); n > 0 {
			r.After = members[n-1]
		}
		part, err := v.store.Range(ctx, set, r)
		if members = append(members, part...); err != nil || len(part) < readAtOnce {
			return members, err
		}
	}
}
