package intake

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Apply makes an instance known, or changes what is known of it.
type Apply struct {
	Caller
	Project  string
	Provider string
	Instance string
	Config   events.InstanceConfig

	// Merge changes a part of what is known: it makes the configuration of the one that stands, under the
	// compare-and-set, and Config is not looked at. An instance that is not there is INSTANCE_NOT_FOUND.
	Merge func(before events.InstanceConfig) (events.InstanceConfig, error)
}

// Outcomes of Apply.
const (
	Registered = "registered"
	Updated    = "updated"
	Unchanged  = "unchanged"
)

// errUnchanged carries out of Decide that there is nothing to say: the instance as it stands.
type errUnchanged struct{ events.Instance }

func (errUnchanged) Error() string { return "unchanged" }

// Apply appends `instance.registered` or `instance.updated`, or nothing if the configuration is the same,
// and says which. A name that another provider has or had is NAME_TAKEN.
func (i *Intake) Apply(ctx context.Context, c Apply) (events.Instance, string, error) {
	inst, err := i.draftInstance(c)
	if err != nil {
		return events.Instance{}, "", err
	}
	rq, err := events.RequestID(c.Project, i.origin(c.Caller))
	if err != nil {
		return events.Instance{}, "", refuse(Invalid, SchemaViolation, "idempotency key: %s", err.Error())
	}
	for range maxRounds { // a round per change that somebody else makes meanwhile
		done, outcome, err := i.applyOnce(ctx, inst, c, rq)
		if !errors.Is(err, errMoved) {
			return done, outcome, err
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
	if c.Merge == nil {
		err = config(c.Provider, c.Config)
	}
	if err != nil {
		return events.Instance{}, err
	}
	id, err := events.InstanceID(c.Project, c.Provider, c.Instance)
	if err != nil {
		return events.Instance{}, refuse(Invalid, NameInvalid, "%s", err.Error())
	}
	return events.Instance{Project: c.Project, InstanceID: id, Provider: c.Provider, Instance: c.Instance,
		IDs: events.InstanceIDs{GaussDB: events.GaussInstanceID(id)}, RequestedBy: c.Name, Config: c.Config}, nil
}

func (i *Intake) applyOnce(ctx context.Context, inst events.Instance, c Apply, rq string) (events.Instance, string, error) {
	last, found, err := i.last(ctx, inst.Aggregate())
	if err != nil {
		return inst, "", fault("read the instance", err)
	}
	step, n, err := nextStep(last, found, events.Registered, events.Deregistered, events.Updated)
	if err != nil {
		return inst, "", fault("read the instance", err)
	}
	scope, outcome := events.ScopeName, Registered
	if step == events.Updated {
		scope, outcome = events.ScopeAggregate, Updated
	}
	inst.Generation = n
	id := events.EventID(inst.InstanceID, events.Instances, step, n)
	done, err := i.log.Append(ctx, events.Draft{
		Aggregate: inst.Aggregate(), Step: step, Scope: scope, At: i.now(), EventID: id, Cause: c.cause(rq),
		Decide: func(_ context.Context, p events.Prior) (events.Payload, error) {
			return decideApply(inst, step, p, i.now(), c.Merge)
		},
	})
	ours := done.Stored
	var same errUnchanged
	switch {
	case errors.As(err, &same):
		return same.Instance, Unchanged, nil
	case errors.Is(err, errMoved):
		if ours, found, err = i.made(ctx, inst.Aggregate(), id, rq); err == nil && !found {
			return inst, "", errMoved
		}
	case err == nil && done.Repeat && done.CorrelationID != rq: // somebody else's change has this number
		return inst, "", errMoved
	}
	if err != nil {
		return inst, "", fault("append the instance", err)
	}
	i.visible(ctx, inst.Project, ours.Seq)
	stored, err := events.Decode[events.Instance](ours.Event)
	return stored, outcome, fault("read back the instance", err)
}

func decideApply(inst events.Instance, step events.Step, p events.Prior, at time.Time, merge func(events.InstanceConfig) (events.InstanceConfig, error)) (events.Payload, error) {
	if p.Last == nil && p.ScopeSeq > 0 {
		return nil, refuse(Conflict, NameTaken, "the name %s belongs to an instance of another provider: choose another name", inst.Instance)
	}
	if err := unmoved(p, inst.Generation); err != nil {
		return nil, err
	}
	if step == events.Registered && merge != nil {
		return nil, refuse(NotFound, InstanceNotFound, "there is no instance %s in project %s: apply it first", inst.Instance, inst.Project)
	}
	if step == events.Registered {
		inst.CreateTime = events.At(at)
		return inst, nil
	}
	before, err := events.Decode[events.Instance](p.Last.Event)
	if err != nil {
		return nil, err
	}
	inst.CreateTime = before.CreateTime
	if merge != nil {
		if inst.Config, err = merge(before.Config); err == nil {
			err = config(inst.Provider, inst.Config)
		}
		if err != nil {
			return nil, err
		}
	}
	if inst.ChangedFields = changed(before.Config, inst.Config); len(inst.ChangedFields) == 0 {
		return nil, errUnchanged{before}
	}
	return inst, nil
}

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
