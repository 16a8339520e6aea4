package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// errFull ends a page.
var errFull = errors.New("page is full")

// deliveries lists the records of a subscription, in the order of their last changes (events.md 7.11). They outlive it.
func (a *API) deliveries(w http.ResponseWriter, r *http.Request, c call) error {
	if _, err := a.store.Get(r.Context(), c.project, c.id); errors.Is(err, subscription.ErrNotFound) {
		if there, failed := a.delivered(r.Context(), c); failed != nil || !there {
			return cmp.Or(failed, err)
		}
	} else if err != nil {
		return err
	}
	f, err := filterOf(r)
	if err != nil {
		return err
	}
	running := a.backend.InFlight(c.id)
	var out struct {
		Deliveries []*delivery.Record `json:"deliveries"`
		NextCursor string             `json:"nextCursor,omitempty"`
	}
	out.Deliveries = []*delivery.Record{}
	err = a.backend.Deliveries(r.Context(), c.project, c.id, f.after+1, func(d *delivery.Record) error {
		if running[d.DeliveryID] && d.State.Open() {
			d.State = delivery.InFlight
		}
		if !f.match(d) {
			return nil
		}
		if len(out.Deliveries) == f.limit {
			out.NextCursor = strconv.FormatUint(out.Deliveries[f.limit-1].Seq, 10)
			return errFull
		}
		out.Deliveries = append(out.Deliveries, d)
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return err
	}
	answer(w, http.StatusOK, "application/json", out)
	return nil
}

// delivered tells whether a subscription has records.
func (a *API) delivered(ctx context.Context, c call) (bool, error) {
	err := a.backend.Deliveries(ctx, c.project, c.id, 0, func(*delivery.Record) error { return errFull })
	if errors.Is(err, errFull) {
		return true, nil
	}
	return false, err
}

// deliveryFilter is what a list asks for.
type deliveryFilter struct {
	state    delivery.State
	typ      string
	from, to time.Time
	after    uint64
	limit    int
}

var states = []delivery.State{"", delivery.Pending, delivery.InFlight, delivery.Retrying, delivery.Delivered, delivery.Dead, delivery.Suppressed}

func filterOf(r *http.Request) (f deliveryFilter, err error) {
	q := r.URL.Query()
	f.state, f.typ = delivery.State(strings.ToUpper(q.Get("state"))), q.Get("type")
	if !slices.Contains(states, f.state) {
		return f, invalid("state has to be PENDING, IN_FLIGHT, RETRYING, DELIVERED, DEAD or SUPPRESSED")
	}
	if f.limit, err = limitOf(q.Get("limit"), 100, 1000); err != nil {
		return f, err
	}
	if text := q.Get("cursor"); text != "" {
		if f.after, err = strconv.ParseUint(text, 10, 63); err != nil {
			return f, invalid("cursor is not one of this list")
		}
	}
	for name, into := range map[string]*time.Time{"from": &f.from, "to": &f.to} {
		if text := q.Get(name); text != "" {
			if *into, err = time.Parse(time.RFC3339Nano, text); err != nil {
				return f, invalid(name + " has to be a time as 2026-01-15T02:00:00Z")
			}
		}
	}
	return f, nil
}

func (f deliveryFilter) match(d *delivery.Record) bool {
	return (f.state == "" || d.State == f.state) && (f.typ == "" || d.EventType == f.typ) &&
		!d.CreateTime.Before(f.from) && (f.to.IsZero() || d.CreateTime.Before(f.to))
}
