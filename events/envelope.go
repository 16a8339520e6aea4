package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Sizes of events.md 2.5, in bytes.
const (
	MaxMessage    = 64 << 10 // on the wire
	MaxData       = 48 << 10
	maxAttribute  = 1 << 10
	maxAttributes = 8 << 10
)

// Event is one CloudEvent 1.0 of the bus: the attributes of events.md 1.1 and the payload as it travels.
type Event struct {
	ID            string
	Source        string
	Type          string
	Subject       string
	Time          time.Time
	DataSchema    string
	Sequence      string // ten digits; progress: {ten digits}.{six digits}
	PartitionKey  string
	CorrelationID string
	CausationID   string
	TraceParent   string
	TraceState    string
	Project       string // token
	Provider      string
	Instance      string // token
	State         State
	Attempt       *int
	Severity      int
	ExpiryTime    time.Time
	Extra         map[string]string // attributes that this version does not know; kept, never read
	Data          json.RawMessage
}

// Stored is an event with its place in the log.
type Stored struct {
	Event
	Seq  uint64    // stream sequence in BACKUP_EVENTS, or in BACKUP_PROGRESS for progress
	Kept time.Time // when the log took it in, by the server's clock; zero where that was not asked
}

// Payload is a typed `data`: one of Backup, Restore, Instance, Progress, DeadDelivery. Events are built
// from these only, never from free maps.
type Payload interface {
	Aggregate() Aggregate
	attributes() own
	bounded() any
}

// own are the attributes that come from a payload's fields.
type own struct {
	state       State
	attempt     *int
	correlation string
}

// Trace is the W3C trace context of the original request; it stays the same to the last event.
type Trace struct{ Parent, State string }

// Cause is what led to an event.
type Cause struct {
	CorrelationID string // request id; a payload that knows its own wins
	CausationID   string // id of the causing event, or token of the causing command's id
	Trace         Trace
}

// CausedBy is the cause of an event that ev led to: its request and its trace go on.
func CausedBy(ev Event) Cause {
	return Cause{CorrelationID: ev.CorrelationID, CausationID: ev.ID, Trace: Trace{ev.TraceParent, ev.TraceState}}
}

// ErrTooLarge is returned for an event over the sizes of events.md 2.5; it is never published.
var ErrTooLarge = errors.New("event too large")

// New builds the event that tells of step. id is its EventID, sequence its number within the aggregate
// (from 1), bus the deployment's name. Strings that must not travel are replaced (events.md 2.6).
func New(bus string, p Payload, step Step, id string, sequence uint64, at time.Time, c Cause) (Event, error) {
	ev, err := build(bus, p, step, id, at, c)
	if err != nil {
		return Event{}, err
	}
	ev.Sequence = FormatSequence(sequence)
	return ev, nil
}

// progressLife is how long a progress event is worth reading.
const progressLife = 15 * time.Minute

// NewProgress builds a progress event; sequence is that of the last lifecycle event of the backup or restore.
func NewProgress(bus string, p Progress, sequence string, at time.Time, c Cause) (Event, error) {
	about := p.Aggregate()
	id := EventID(about.ID, about.Entity, ProgressStep, p.Attempt) + "-" + strconv.Itoa(p.Ordinal)
	ev, err := build(bus, p, ProgressStep, id, at, c)
	if err != nil {
		return Event{}, err
	}
	ev.Sequence = fmt.Sprintf("%s.%06d", sequence, p.Ordinal)
	ev.ExpiryTime = ev.Time.Add(progressLife)
	return ev, nil
}

func build(bus string, p Payload, step Step, id string, at time.Time, c Cause) (Event, error) {
	agg := p.Aggregate()
	source, err := agg.Source(bus)
	if err != nil {
		return Event{}, err
	}
	path, err := agg.path()
	if err != nil {
		return Event{}, err
	}
	project, err := Token(agg.Project)
	if err != nil {
		return Event{}, fmt.Errorf("project: %w", err)
	}
	instance := ""
	if agg.Instance != "" {
		if instance, err = Token(agg.Instance); err != nil {
			return Event{}, fmt.Errorf("instance: %w", err)
		}
	}
	data, err := json.Marshal(p.bounded())
	if err != nil {
		return Event{}, fmt.Errorf("encode data of %s: %w", id, err)
	}
	if data, err = redactJSON(data); err != nil {
		return Event{}, fmt.Errorf("redact data of %s: %w", id, err)
	}
	if len(data) > MaxData {
		return Event{}, fmt.Errorf("%w: data of %s has %d bytes, at most %d", ErrTooLarge, id, len(data), MaxData)
	}
	a := p.attributes()
	if a.correlation == "" {
		a.correlation = c.CorrelationID
	}
	t := TypeOf(agg.Entity, step)
	return Event{
		ID: id, Source: source, Type: t.String(), Subject: path, Time: At(at).Time, DataSchema: t.DataSchema(),
		PartitionKey: agg.ID, CorrelationID: a.correlation, CausationID: c.CausationID,
		TraceParent: c.Trace.Parent, TraceState: c.Trace.State,
		Project: project, Provider: agg.Provider, Instance: instance,
		State: a.state, Attempt: a.attempt, Severity: Severity(step), Data: data,
	}, nil
}

// FormatSequence writes a number of events.md 1.1: ten digits, so that byte order is number order.
func FormatSequence(n uint64) string { return fmt.Sprintf("%010d", n) }

// SequenceNumber is the lifecycle number in `sequence`: of a progress event, that of its backup or restore.
func (e Event) SequenceNumber() (uint64, error) {
	head, _, _ := strings.Cut(e.Sequence, ".")
	n, err := strconv.ParseUint(head, 10, 64)
	if err != nil || len(head) != 10 {
		return 0, fmt.Errorf("sequence %q is not ten digits", e.Sequence)
	}
	return n, nil
}

// Step is the last word of the event's type; empty if the type is not of backupbus.
func (e Event) Step() Step {
	t, err := ParseType(e.Type)
	if err != nil {
		return ""
	}
	return t.Step
}

// Entity is the first word of the event's type; empty if the type is not of backupbus.
func (e Event) Entity() Entity {
	t, err := ParseType(e.Type)
	if err != nil {
		return ""
	}
	return t.Entity
}

// Decode reads the payload of an event into the type that its entity has.
func Decode[P Payload](e Event) (P, error) {
	var p P
	if err := json.Unmarshal(e.Data, &p); err != nil {
		return p, fmt.Errorf("data of %s: %w", e.ID, err)
	}
	return p, nil
}
