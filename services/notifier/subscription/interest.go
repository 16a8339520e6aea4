package subscription

import (
	"errors"
	"fmt"
	"slices"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/filter"
)

// Interest is what a subscription wants: events of one of the types for which every filter is true.
type Interest struct {
	// Types are exact event types, as dev.backupbus.backup.failed.v1; none means all.
	Types []string `yaml:"types" json:"types,omitempty"`
	// Filters have to be true, all of them.
	Filters filter.Filter `yaml:"filters" json:"filters,omitzero"`
}

const maxTypes = 100

// Wants tells whether an event of the subscription's project is to be delivered. It looks at attributes only,
// never at data. An error means no, because a filter cannot be evaluated on this event.
func (i Interest) Wants(ev events.Event) (bool, error) {
	if len(i.Types) > 0 && !slices.Contains(i.Types, ev.Type) {
		return false, nil
	}
	return i.Filters.Match(ev)
}

// typeProblems lists what is wrong with the types; where names the place of the n-th.
func (i Interest) typeProblems(add func(n int, err error)) {
	if i.Types != nil && len(i.Types) == 0 {
		add(-1, errors.New("is empty: leave it out for all types"))
	}
	if n := len(i.Types); n > maxTypes {
		add(-1, fmt.Errorf("are %d, at most %d: use a prefix filter", n, maxTypes))
	}
	for n, t := range i.Types {
		if err := checkType(t); err != nil {
			add(n, err)
		}
	}
}

func checkType(s string) error {
	t, err := events.ParseType(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no event type: write it as dev.backupbus.backup.succeeded.v1", events.Clip(s, 100))
	case t.Step == events.ProgressStep:
		return errors.New("progress never goes to webhooks: read it from the event stream")
	}
	return nil
}
