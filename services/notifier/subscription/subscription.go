package subscription

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Subscription is one entry of the configuration. The pair of project and name is its identity: change
// either and it is another subscription, whose deliveries start anew.
type Subscription struct {
	Name    string `yaml:"name"`
	Project string `yaml:"project"`
	// Sink is the URL that is posted to (events.md 7.7). Its query is kept, and treated as a secret.
	Sink string `yaml:"sink"`
	// Types are exact event types, as dev.backupbus.backup.failed.v1; none means all.
	Types []string `yaml:"types"`
	// Filters have to be true, all of them.
	Filters []Filter `yaml:"filters"`
	// SecretRef is where the signing secret is: env:NAME or file:/path (mode 0600).
	SecretRef string `yaml:"secretRef"`
	// TimeoutMs bounds a whole attempt: 1000 to 30000, default 15000.
	TimeoutMs int `yaml:"timeoutMs"`
	// MaxInFlight is how many requests may run at once: 1 to 64, default 8.
	MaxInFlight int `yaml:"maxInFlight"`
}

const (
	maxName     = 100 // bytes, of a project's name too
	maxTypes    = 100
	minTimeout  = 1000
	maxTimeout  = 30_000
	maxInFlight = 64

	defaultTimeout  = 15_000
	defaultInFlight = 8
)

// ID is the subscription's id: the same for the same project and name, on every start and in every process.
func (s Subscription) ID() (string, error) { return events.SubscriptionID(s.Project, s.Name) }

// Timeout is TimeoutMs or its default.
func (s Subscription) Timeout() time.Duration {
	return time.Duration(orDefault(s.TimeoutMs, defaultTimeout)) * time.Millisecond
}

// InFlight is MaxInFlight or its default.
func (s Subscription) InFlight() int { return orDefault(s.MaxInFlight, defaultInFlight) }

func orDefault(n, or int) int {
	if n == 0 {
		return or
	}
	return n
}

// Wants tells whether an event of the subscription's project is to be delivered. It looks at attributes
// only, never at data.
func (s Subscription) Wants(ev events.Event) bool {
	if len(s.Types) > 0 && !slices.Contains(s.Types, ev.Type) {
		return false
	}
	for _, f := range s.Filters {
		if !f.match(ev) {
			return false
		}
	}
	return true
}

// Problems lists what is wrong with everything but the sink and the secret, which others look at. path is
// where the subscription stands in the configuration.
func (s Subscription) Problems(path string) []error {
	var out []error
	add := func(field string, err error) {
		if err != nil {
			out = append(out, fmt.Errorf("%s.%s: %w", path, field, err))
		}
	}
	add("name", name(s.Name))
	add("project", name(s.Project))
	if len(s.Types) > maxTypes {
		add("types", fmt.Errorf("are %d, at most %d: use a prefix filter", len(s.Types), maxTypes))
	}
	for i, t := range s.Types {
		add(fmt.Sprintf("types[%d]", i), checkType(t))
	}
	add("timeoutMs", within(s.Timeout().Milliseconds(), minTimeout, maxTimeout))
	add("maxInFlight", within(int64(s.InFlight()), 1, maxInFlight))
	return append(out, filterProblems(path+".filters", s.Filters)...)
}

func name(s string) error {
	if s == "" {
		return errors.New("is missing")
	}
	if len(s) > maxName {
		return fmt.Errorf("has %d bytes, at most %d", len(s), maxName)
	}
	if _, err := events.SubscriptionID(s, ""); err != nil {
		return errors.New("holds a line feed: remove it")
	}
	if _, err := events.Token(s); err != nil {
		return errors.New("is not UTF-8")
	}
	return nil
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

func within(n int64, low, high int64) error {
	if n < low || n > high {
		return fmt.Errorf("%d is not between %d and %d", n, low, high)
	}
	return nil
}
