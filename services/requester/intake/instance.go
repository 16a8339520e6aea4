package intake

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/backupbus/backupbus/events"
)

// Apply makes an instance known, or changes what is known of it.
type Apply struct {
	Caller
	Project  string
	Provider string
	Instance string
	Config   events.InstanceConfig
}

// Outcomes of Apply.
const (
	Registered = "registered"
	Updated    = "updated"
	Unchanged  = "unchanged"
)

// errUnchanged carries out of Decide that there is nothing to say.
var errUnchanged = errors.New("unchanged")

// Apply appends `instance.registered` or `instance.updated`, or nothing if the configuration is the same,
// and says which. A name that another provider has or had is NAME_TAKEN.
func (i *Intake) Apply(ctx context.Context, c Apply) (events.Instance, string, error) {
	inst, err := i.draftInstance(c)
	if err != nil {
		return events.Instance{}, "", err
	}
	for range maxRounds { // a round per change that somebody else makes meanwhile
		done, outcome, err := i.applyOnce(ctx, inst, c)
		if err != nil {
			return events.Instance{}, "", err
		}
		if outcome == Unchanged {
			return done, outcome, nil
		}
		if equalConfig(done.Config, c.Config) {
			return done, outcome, nil
		}
	}
	return events.Instance{}, "", refuse(Unavailable, BusUnavailable, "others keep changing instance %s: look at it, then apply again", c.Instance)
}

// maxRounds bounds how often a decision is taken anew because others were faster.
const maxRounds = 10

func (i *Intake) draftInstance(c Apply) (events.Instance, error) {
	var err error
	if c.Project, err = name("project", c.Project); err != nil {
		return events.Instance{}, err
	}
	if c.Instance, err = name("instance", c.Instance); err != nil {
		return events.Instance{}, err
	}
	if err := i.provider(c.Provider); err != nil {
		return events.Instance{}, err
	}
	if err := config(c.Provider, c.Config); err != nil {
		return events.Instance{}, err
	}
	id, err := events.InstanceID(c.Project, c.Provider, c.Instance)
	if err != nil {
		return events.Instance{}, refuse(Invalid, NameInvalid, "%s", err.Error())
	}
	return events.Instance{Project: c.Project, InstanceID: id, Provider: c.Provider, Instance: c.Instance,
		IDs: events.InstanceIDs{GaussDB: events.GaussInstanceID(id)}, RequestedBy: c.Name, Config: c.Config}, nil
}

func (i *Intake) applyOnce(ctx context.Context, inst events.Instance, c Apply) (events.Instance, string, error) {
	last, found, err := i.last(ctx, inst.Aggregate())
	if err != nil {
		return inst, "", fault("read the instance", err)
	}
	step, scope, outcome, n := events.Registered, events.ScopeName, Registered, uint64(1)
	if found {
		if n, err = last.SequenceNumber(); err != nil {
			return inst, "", fault("read the instance", err)
		}
		n++
		if last.Step() != events.Deregistered {
			step, scope, outcome = events.Updated, events.ScopeAggregate, Updated
		}
	}
	inst.Generation = int(n)
	done, err := i.log.Append(ctx, events.Draft{
		Aggregate: inst.Aggregate(), Step: step, Scope: scope, At: i.now(),
		EventID: events.EventID(inst.InstanceID, events.Instances, step, inst.Generation),
		Cause:   events.Cause{Trace: c.Trace},
		Decide: func(_ context.Context, p events.Prior) (events.Payload, error) {
			if p.Last == nil {
				if p.ScopeSeq > 0 {
					return nil, refuse(Conflict, NameTaken, "the name %s belongs to an instance of another provider: choose another name", inst.Instance)
				}
				return inst, nil
			}
			before, err := events.Decode[events.Instance](p.Last.Event)
			if err != nil {
				return nil, err
			}
			next := inst
			if step == events.Updated {
				if next.ChangedFields = changed(before.Config, inst.Config); len(next.ChangedFields) == 0 {
					return nil, errUnchanged
				}
			}
			return next, nil
		},
	})
	if errors.Is(err, errUnchanged) {
		before, err := events.Decode[events.Instance](last.Event)
		return before, Unchanged, err
	}
	if err != nil {
		return inst, "", fault("append the instance", err)
	}
	i.visible(ctx, inst.Project, done.Seq)
	stored, err := events.Decode[events.Instance](done.Event)
	return stored, outcome, fault("read back the instance", err)
}

func equalConfig(a, b events.InstanceConfig) bool { return len(changed(a, b)) == 0 }

// changed lists the paths of the fields that differ, never their values.
func changed[C any](a, b C) []string {
	x, y := fields(a), fields(b)
	var out []string
	for k := range x {
		if string(x[k]) != string(y[k]) {
			out = append(out, "config."+k)
		}
	}
	for k := range y {
		if _, both := x[k]; !both {
			out = append(out, "config."+k)
		}
	}
	slices.Sort(out)
	return out
}

func fields(c any) map[string]json.RawMessage {
	b, err := json.Marshal(c)
	if err != nil {
		return nil // strings, lists and maps of strings always encode
	}
	var m map[string]json.RawMessage
	_ = json.Unmarshal(b, &m)
	return m
}
