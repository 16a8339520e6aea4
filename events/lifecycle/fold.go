package lifecycle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/backupbus/backupbus/events"
)

// Head is what a reader keeps of an aggregate to judge its next event (events.md 3.3). The zero value
// stands for an aggregate that was never seen.
type Head struct {
	Sequence uint64       `json:"sequence"`
	EventID  string       `json:"eventId"`
	DataHash string       `json:"dataHash"` // SHA-256 of data, hex
	State    events.State `json:"state"`
}

// Verdict is what a reader does with an event.
type Verdict int

const (
	Applied   Verdict = iota // newer and legal: replace the record
	Old                      // older, or seen before: drop
	Unknown                  // a type or version that this program does not know: count, drop
	Conflict                 // the same sequence with other content: keep the first, dead letter
	Illegal                  // no row of the table: keep the view, dead letter
	Malformed                // data that cannot be read: dead letter
)

// String is the word for logs, metrics and dead letters (events.md 4.5).
func (v Verdict) String() string {
	return [...]string{"applied", "old", "unknown", "conflicting_duplicate", "illegal_transition", "unreadable"}[v]
}

// Fold is for readers: it judges ev against what is known of its aggregate. Only Applied changes the
// head. The record needs no folding of its own, as every event carries it whole; so duplicates and
// reordering change nothing, and a jump in the sequence is no loss.
func Fold(h Head, ev events.Event) (Head, Verdict) {
	t, err := events.ParseType(ev.Type)
	if err != nil || t.Major != 1 || !known(t.Entity, t.Step) {
		return h, Unknown
	}
	n, err := ev.SequenceNumber()
	if err != nil {
		return h, Malformed
	}
	if n < h.Sequence {
		return h, Old
	}
	sum := sha256.Sum256(ev.Data)
	hash := hex.EncodeToString(sum[:])
	if n == h.Sequence {
		if ev.ID == h.EventID && hash == h.DataHash {
			return h, Old
		}
		return h, Conflict
	}
	to, v := judge(t, h, ev)
	if v != Applied {
		return h, v
	}
	return Head{Sequence: n, EventID: ev.ID, DataHash: hash, State: to}, Applied
}

// judge holds an event against the table. A backup's or restore's event says itself where it came from,
// so a reader that missed one can still tell; the others go by what the reader knows.
func judge(t events.Type, h Head, ev events.Event) (events.State, Verdict) {
	if t.Entity != events.Backups && t.Entity != events.Restores {
		to, err := Check(t.Entity, t.Step, h.State, Facts{})
		if err != nil {
			// The reader may have started behind the first event: what the step leads to is the same.
			if to, err = anyFrom(t.Entity, t.Step); err != nil || h.Sequence+1 == mustNumber(ev) && h.Sequence > 0 {
				return None, Illegal
			}
		}
		return to, Applied
	}
	var d struct {
		PreviousState events.State `json:"previousState"`
		State         events.State `json:"state"`
		MaxAttempts   int          `json:"maxAttempts"`
		Overdue       *struct {
			Requested bool `json:"requested"`
		} `json:"overdue"`
		Deletion *struct {
			Cause string `json:"cause"`
		} `json:"deletion"`
	}
	if err := json.Unmarshal(ev.Data, &d); err != nil {
		return None, Malformed
	}
	// After `requested` every record has maxAttempts, so for that step the note of lateness tells.
	f := Facts{Requested: d.MaxAttempts > 0}
	if t.Step == events.Requested && d.PreviousState == Overdue {
		f.Requested = d.Overdue != nil && d.Overdue.Requested
	}
	if d.Deletion != nil {
		f.Cause = d.Deletion.Cause
	}
	to, err := Check(t.Entity, t.Step, d.PreviousState, f)
	if err != nil || to != d.State || ev.State != d.State {
		return None, Illegal
	}
	return to, Applied
}

func mustNumber(ev events.Event) uint64 {
	n, _ := ev.SequenceNumber()
	return n
}

func anyFrom(e events.Entity, s events.Step) (events.State, error) {
	for _, t := range table {
		if t.Entity == e && t.Step == s {
			return t.To, nil
		}
	}
	return None, ErrIllegal
}

func known(e events.Entity, s events.Step) bool {
	_, err := anyFrom(e, s)
	return err == nil
}
