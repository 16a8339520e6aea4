package view

import (
	"context"

	"github.com/backupbus/backupbus/events"
)

// SchedulesByID implements Reader.
func (v *View) SchedulesByID(ctx context.Context, project string, ids []string) ([]events.Schedule, error) {
	docs, err := v.Load(ctx, keysOf(project, events.Schedules, ids))
	if err != nil {
		return nil, err
	}
	var out []events.Schedule
	for _, d := range docs {
		if !d.Head.Present() {
			continue
		}
		s, err := record[events.Schedule](d)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Generations implements Reader.
func (v *View) Generations(ctx context.Context, project string, ids []string) (map[string]int, error) {
	list, err := many[events.Schedule](ctx, v, project, events.Schedules, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int, len(list))
	for _, s := range list {
		out[s.ScheduleID] = s.Generation
	}
	return out, nil
}

// Schedules implements Reader.
func (v *View) Schedules(ctx context.Context, project, instance string, cursor string, limit int) ([]events.Schedule, string, error) {
	members, next, err := v.page(ctx, v.listKey(schedulesOf, project, instance), cursor, limit, false)
	if err != nil {
		return nil, "", err
	}
	list, err := many[events.Schedule](ctx, v, project, events.Schedules, members)
	return list, next, err
}
