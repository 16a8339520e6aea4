package subscription

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Subscription is one entry of the configuration. The pair of project and name is its identity: change
// either and it is another subscription, whose deliveries start anew.
type Subscription struct {
	Name    string `yaml:"name"`
	Project string `yaml:"project"`
	// Sink is the URL that is posted to (events.md 7.7), its query kept as a secret, or mailto: and who is written to.
	Sink URL `yaml:"sink"`
	// Interest is which events are wanted; nothing means all.
	Interest `yaml:",inline"`
	// SecretRef is where the signing secret is: env:NAME or file:/path (mode 0600).
	SecretRef string `yaml:"secretRef"`
	// TimeoutMs bounds a whole attempt: 1000 to 30000, default 15000.
	TimeoutMs int `yaml:"timeoutMs"`
	// MaxInFlight is how many requests may run at once: 1 to 64, default 8.
	MaxInFlight int `yaml:"maxInFlight"`
	// RatePerMinute is how many requests are made a minute: 1 to 60000, default 600.
	RatePerMinute int `yaml:"ratePerMinute"`
	// Format is how events are written: cloudevent (default), slack, teams or discord.
	Format string `yaml:"format"`
}

// URL is a sink as it was written. Printed, logged or encoded it shows no query.
type URL string

// String hides the query.
func (u URL) String() string {
	if head, _, ok := strings.Cut(string(u), "?"); ok {
		return head + "?…"
	}
	return string(u)
}

// GoString hides the query.
func (u URL) GoString() string { return u.String() }

// MarshalText hides the query from every encoder.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

const (
	maxName     = 100 // bytes, of a project's name too
	minTimeout  = 1000
	maxTimeout  = 30_000
	maxInFlight = 64
	maxRate     = 60_000

	defaultTimeout  = 15_000
	defaultInFlight = 8
	defaultRate     = 600
)

// ID is the subscription's id: the same for the same project and name, on every start and in every process.
func (s Subscription) ID() (string, error) { return events.SubscriptionID(s.Project, s.Name) }

// Timeout is TimeoutMs or its default.
func (s Subscription) Timeout() time.Duration {
	return time.Duration(orDefault(s.TimeoutMs, defaultTimeout)) * time.Millisecond
}

// Rate is RatePerMinute or its default.
func (s Subscription) Rate() int { return orDefault(s.RatePerMinute, defaultRate) }

// InFlight is MaxInFlight or its default.
func (s Subscription) InFlight() int { return orDefault(s.MaxInFlight, defaultInFlight) }

func orDefault(n, or int) int {
	if n == 0 {
		return or
	}
	return n
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
	add("timeoutMs", within(s.Timeout().Milliseconds(), minTimeout, maxTimeout))
	add("ratePerMinute", within(int64(s.Rate()), 1, maxRate))
	add("format", checkFormat(s.Format))
	add("maxInFlight", within(int64(s.InFlight()), 1, maxInFlight))
	s.typeProblems(func(n int, err error) {
		if n < 0 {
			add("types", err)
			return
		}
		add(fmt.Sprintf("types[%d]", n), err)
	})
	return out
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

func within(n int64, low, high int64) error {
	if n < low || n > high {
		return fmt.Errorf("%d is not between %d and %d", n, low, high)
	}
	return nil
}
