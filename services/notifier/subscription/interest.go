package subscription

import (
	"errors"
	"fmt"
	"slices"

	"github.com/backupbus/backupbus/events"
)

// Interest is what a subscription wants: events of one of the types for which every filter is true.
type Interest struct {
	// Types are exact event types, as dev.backupbus.backup.failed.v1; none means all.
	Types []string `yaml:"types"`
	// Filters have to be true, all of them.
	Filters []Filter `yaml:"filters"`
}

const maxTypes = 100

// Wants tells whether an event of the subscription's project is to be delivered. It looks at attributes
// only, never at data. It is for an Interest that Problems has found nothing wrong with.
func (i Interest) Wants(ev events.Event) bool {
	if len(i.Types) > 0 && !slices.Contains(i.Types, ev.Type) {
		return false
	}
	return !slices.ContainsFunc(i.Filters, func(f Filter) bool { return !f.match(ev) })
}

func (i Interest) problems(path string) []error {
	var out []error
	if n := len(i.Types); n > maxTypes {
		out = append(out, fmt.Errorf("%s.types: are %d, at most %d: use a prefix filter", path, n, maxTypes))
	}
	for n, t := range i.Types {
		if err := checkType(t); err != nil {
			out = append(out, fmt.Errorf("%s.types[%d]: %w", path, n, err))
		}
	}
	return append(out, filterProblems(path+".filters", i.Filters)...)
}

func checkType(s string) error {
	t, err := events.ParseType(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no event type: write it as dev.backupbus.backup.succeeded.v1", s)
	case t.Step == events.ProgressStep:
		return errors.New("progress never goes to webhooks: read it from the event stream")
	}
	return nil
}
