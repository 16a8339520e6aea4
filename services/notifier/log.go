package notifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// records is delivery.Log on the table of the bus.
type records struct {
	table      *bus.Table
	log        *slog.Logger
	unreadable func() // counts
}

var _ delivery.Log = records{}

// read is the record of a row; false for one that cannot be read, which is reported: its delivery is lost to
// whoever waits for it, and a replay of its event makes another.
func (r records) read(ctx context.Context, row bus.Row) (*delivery.Record, bool) {
	d, err := delivery.ReadRecord(row.Data, row.Seq)
	if err != nil {
		r.unreadable()
		r.log.ErrorContext(ctx, "record of a delivery is unreadable: replay its event", "stream", bus.DeliveryLogStream,
			"subject", row.Subject, "stream_seq", row.Seq, "error", events.Redact(err.Error()))
	}
	return d, err == nil
}

// Put implements delivery.Log.
func (r records) Put(ctx context.Context, list []*delivery.Record) []error {
	rows, errs := make([]bus.Row, len(list)), make([]error, len(list))
	for i, d := range list {
		data, err := d.Encode()
		if err != nil { // a record is plain text and numbers
			errs[i] = fmt.Errorf("encode %s: %w", d.DeliveryID, err)
			return errs
		}
		rows[i] = bus.Row{Subject: bus.DeliverySubject(d.Project, d.SubscriptionID, d.DeliveryID), Seq: d.Seq, Data: data}
	}
	seqs, errs := r.table.Put(ctx, rows...)
	for i, d := range list {
		if errs[i] == nil {
			d.Seq = seqs[i]
		} else if errors.Is(errs[i], bus.ErrConflict) {
			errs[i] = fmt.Errorf("%w: %w", events.ErrContended, errs[i])
		}
	}
	return errs
}

// Get implements delivery.Log.
func (r records) Get(ctx context.Context, d *delivery.Record) (*delivery.Record, error) {
	row, there, err := r.table.Get(ctx, bus.DeliverySubject(d.Project, d.SubscriptionID, d.DeliveryID))
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("record of %s: %w", d.DeliveryID, events.ErrNotFound)
	}
	found, ok := r.read(ctx, row)
	if !ok {
		return nil, fmt.Errorf("record of %s: %w", d.DeliveryID, events.ErrUnreadable)
	}
	return found, nil
}

// left are the records that whoever takes over at p needs: those that are to be sent, and all of events above p.
func (r records) left(ctx context.Context, p position) ([]*delivery.Record, error) {
	var out []*delivery.Record
	_, err := r.table.Scan(ctx, bus.DeliveryLogRoot+".>", p.Log, func(row bus.Row) error {
		if d, ok := r.read(ctx, row); ok && (d.State.Open() || d.EventSeq > p.Events) {
			out = append(out, d)
		}
		return nil
	})
	return out, err
}

// stored is delivery.Events on the log of events.
type stored struct{ bus *bus.Bus }

// At implements delivery.Events.
func (s stored) At(ctx context.Context, seq uint64) (events.Event, error) {
	ev, err := s.bus.EventAt(ctx, seq)
	return ev.Event, err
}

// position is how far the active notifier is: what another one goes on from.
type position struct {
	Events uint64 `json:"events"` // matched up to here, and all deliveries have a record
	Log    uint64 `json:"log"`    // no record below is open, or of an event above Events

	matched  uint64    // up to here
	saved    [2]uint64 // both, as they are stored
	savedAt  time.Time
	revision uint64
}

// note brings p to where the engine is.
func (p *position) note(e *delivery.Engine) {
	p.Log = e.Floor(p.Log) // first
	p.Events = e.Matched(p.matched)
}

const positionKey = "position"

// readPosition is where the last one was; the first one ever begins where the durable stands.
func readPosition(ctx context.Context, b *bus.Bus, kv *bus.KeyValue) (position, error) {
	var p position
	e, there, err := kv.Get(ctx, positionKey)
	if err != nil {
		return p, err
	}
	if !there {
		p.Events, err = b.Acked(ctx, bus.NotifierDurable)
		p.matched = p.Events
		return p, err
	}
	p.revision = e.Revision
	err = json.Unmarshal(e.Value, &p)
	p.matched = p.Events
	return p, err
}

// save stores p by compare-and-set: who has lost the lease unnoticed learns it here.
func (p *position) save(ctx context.Context, kv *bus.KeyValue) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	revision, err := kv.Put(ctx, positionKey, b, p.revision)
	if err == nil {
		p.revision, p.saved = revision, [2]uint64{p.Events, p.Log}
	}
	return err
}
