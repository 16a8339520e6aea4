package view

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// slotsAtOnce is how many slots are read with one call.
const slotsAtOnce = 10_000

// Health implements Reader.
func (v *View) Health(ctx context.Context, project, instance string, since time.Time) (lifecycle.Health, error) {
	var h lifecycle.Health
	shard := v.shard(project)
	newest, err := v.store.Range(ctx, setKey(shard, goodOf, project, instance), Range{Limit: 1, Reverse: true})
	if err != nil {
		return h, err
	}
	good, err := many[events.Backup](ctx, v, project, events.Backups, ids(newest))
	if err != nil {
		return h, err
	}
	if len(good) > 0 {
		h.LastGood = &good[0]
	}
	for after := fmt.Sprintf("%015d", since.UnixMilli()); ; {
		members, err := v.store.Range(ctx, setKey(shard, slotsOf, project, instance), Range{After: after, Limit: slotsAtOnce})
		if err != nil {
			return h, err
		}
		for _, m := range members {
			h.Slots.Count(outcomeOf(m))
		}
		if len(members) < slotsAtOnce {
			return h, nil
		}
		after = members[len(members)-1]
	}
}

// trusted tells whether a backup counts as good of its instance: there, of its own data, and not found bad since.
func trusted(b events.Backup) bool {
	return lifecycle.Good(b) && !lifecycle.Foreign(b) && b.Verification != events.CheckFailed
}

func goodMember(b events.Backup) string {
	return fmt.Sprintf("%015d.%s", lifecycle.DataTime(b).UnixMilli(), b.BackupID)
}

func slotMember(b events.Backup, o lifecycle.SlotOutcome) string {
	return fmt.Sprintf("%015d.%s.%s", b.DueTime.UnixMilli(), o, b.BackupID)
}

func outcomeOf(member string) lifecycle.SlotOutcome {
	_, rest, _ := strings.Cut(member, ".")
	o, _, _ := strings.Cut(rest, ".")
	return lifecycle.SlotOutcome(o)
}

// Named is an instance of some project.
type Named struct{ Project, Instance string }

// member: no name has a line feed in it (events.md 1.4).
func (n Named) member() string { return n.Project + "\n" + n.Instance }

// Fleet is the instances of all projects, at most limit of them; more tells whether there are others.
func (v *View) Fleet(ctx context.Context, limit int) (fleet []Named, more bool, err error) {
	for s := range v.shards {
		members, err := v.store.Range(ctx, fleetKey(s), Range{Limit: limit - len(fleet) + 1})
		if err != nil {
			return nil, false, err
		}
		for _, m := range members {
			if len(fleet) == limit {
				return fleet, true, nil
			}
			project, instance, _ := strings.Cut(m, "\n")
			fleet = append(fleet, Named{project, instance})
		}
	}
	return fleet, false, nil
}
