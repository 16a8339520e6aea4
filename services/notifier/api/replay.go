package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/filter"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// Replay is a request to send events again: some by their ids, or those of a time that the subscription wants.
type Replay struct {
	ReplayID       string           `json:"replayId"`
	Project        string           `json:"project"`
	SubscriptionID string           `json:"subscriptionId"`
	EventIDs       []string         `json:"eventIds,omitempty"`
	From           time.Time        `json:"from,omitzero"`
	To             time.Time        `json:"to,omitzero"`
	States         []delivery.State `json:"states,omitempty"` // of their deliveries so far; none: whatever
	Types          []string         `json:"types,omitempty"`
	Filters        filter.Filter    `json:"filters,omitzero"`
	MaxEvents      int              `json:"maxEvents,omitempty"`

	// Interest is what the subscription wanted when it was asked; it holds for a time only.
	Interest subscription.Interest `json:"interest,omitzero"`
}

// ErrReplaying is returned by Backend.Replay while an earlier one of the subscription is not yet taken in.
var ErrReplaying = errors.New("a replay is being taken in")

// replayWait is after how long it is worth asking again.
const replayWait = 5 * time.Second

const (
	maxReplayIDs = 100
	maxReplay    = 100_000
)

func (a *API) replay(w http.ResponseWriter, r *http.Request, c call) error {
	b, err := body(w, r, false)
	if err != nil {
		return err
	}
	var in struct {
		EventIDs  []string         `json:"eventIds"`
		From      *events.Time     `json:"from"`
		To        *events.Time     `json:"to"`
		States    []delivery.State `json:"states"`
		Types     []string         `json:"types"`
		Filters   filter.Filter    `json:"filters"`
		MaxEvents int              `json:"maxEvents"`
	}
	if err := decode(b, &in); err != nil {
		return err
	}
	out := Replay{ReplayID: events.NewReplayID(), Project: c.project, SubscriptionID: c.id, EventIDs: in.EventIDs,
		States: in.States, Types: in.Types, Filters: in.Filters, MaxEvents: in.MaxEvents}
	if in.From != nil && in.To != nil {
		out.From, out.To = in.From.Time, in.To.Time
	}
	if v := out.violations(); len(v) > 0 {
		return invalid("the replay cannot be made", v...)
	}
	d, err := a.store.Get(r.Context(), c.project, c.id)
	if err != nil {
		return err
	}
	if d.Spec.Disabled {
		return conflict("DISABLED", "the subscription is disabled: enable it first")
	}
	out.Interest = d.Spec.Interest
	switch err := a.backend.Replay(r.Context(), out); {
	case errors.Is(err, ErrReplaying):
		return tooMany("a replay of this subscription is being taken in: wait for it", replayWait)
	case err != nil:
		return err
	}
	answer(w, http.StatusAccepted, "application/json", map[string]string{"replayId": out.ReplayID})
	return nil
}

func (r *Replay) violations() (out []subscription.Violation) {
	wrong := func(path, message string) {
		out = append(out, subscription.Violation{Path: path, Message: message})
	}
	ids, span := len(r.EventIDs) > 0, !r.From.IsZero()
	switch {
	case ids == span:
		wrong("", "name either eventIds, or from and to")
	case ids && (len(r.States) > 0 || len(r.Types) > 0 || !r.Filters.Empty() || r.MaxEvents != 0):
		wrong("", "states, types, filters and maxEvents go with from and to")
	case span && !r.From.Before(r.To):
		wrong("/to", "has to be later than from")
	}
	if len(r.EventIDs) > maxReplayIDs {
		wrong("/eventIds", fmt.Sprintf("are %d, at most %d", len(r.EventIDs), maxReplayIDs))
	}
	for i, id := range r.EventIDs {
		if _, err := events.EventFilter(r.Project, id); err != nil {
			wrong("/eventIds/"+strconv.Itoa(i), "is no id of an event")
		}
	}
	for i, s := range r.States {
		if s == "" || !slices.Contains(states, s) {
			wrong("/states/"+strconv.Itoa(i), "is no state of a delivery")
		}
	}
	if r.MaxEvents < 0 || r.MaxEvents > maxReplay {
		wrong("/maxEvents", fmt.Sprintf("has to be 1 to %d", maxReplay))
	}
	if r.MaxEvents == 0 {
		r.MaxEvents = maxReplay
	}
	return out
}

// test sends subscription.test once and answers with what became of it (events.md 7.11).
func (a *API) test(w http.ResponseWriter, r *http.Request, c call) error {
	if b, err := body(w, r, true); err != nil {
		return err
	} else if err := decode(b, &struct{}{}); err != nil {
		return err
	}
	d, err := a.store.Get(r.Context(), c.project, c.id)
	if err != nil {
		return err
	}
	if wait := a.tests.take(c.id); wait > 0 {
		return tooMany("a subscription can be tested 10 times a minute", wait)
	}
	attempt, err := a.backend.Test(r.Context(), d)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, "application/json", attempt)
	return nil
}

// limiter allows ten tests a minute.
type limiter struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[string][]time.Time
}

const testsPerMinute = 10

// take is 0 if one more is allowed, else how long to wait.
func (l *limiter) take(id string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.seen == nil || len(l.seen) > 10_000 {
		l.seen = map[string][]time.Time{}
	}
	recent := slices.DeleteFunc(l.seen[id], func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	if len(recent) >= testsPerMinute {
		l.seen[id] = recent
		return time.Minute - now.Sub(recent[0])
	}
	l.seen[id] = append(recent, now)
	return 0
}
