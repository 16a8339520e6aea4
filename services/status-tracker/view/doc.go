// Package view is the current state of everything, as the log tells it: a disposable copy that can be
// rebuilt from the first event, or from the last event of each aggregate alone, to the same bytes.
//
// A Doc is kept per aggregate. Its keys are computed from the Doc (index.go), so what has to change in
// the indexes is the difference between two Docs. One active projector writes (status-tracker/projector);
// everybody else reads through Reader.
package view

import (
	"encoding/json"
	"fmt"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Key names a document.
type Key struct {
	Project string
	Entity  events.Entity
	ID      string
}

// Doc is what the view keeps of one aggregate. The zero Doc stands for one that was never seen.
type Doc struct {
	Key  Key             `json:"-"`
	Head lifecycle.Head  `json:"head"`
	Seq  uint64          `json:"seq"` // stream sequence of its last event
	Data json.RawMessage `json:"data"`
}

// KeyOf an event; the project in it is raw, from the data. ok is false for entities that the view does
// not keep.
func KeyOf(ev events.Event) (k Key, ok bool) {
	e := ev.Entity()
	switch e {
	case events.Backups, events.Restores, events.Instances, events.Schedules:
	default:
		return Key{}, false
	}
	var d struct {
		Project string `json:"project"`
	}
	if err := json.Unmarshal(ev.Data, &d); err != nil {
		return Key{}, false
	}
	return Key{d.Project, e, ev.PartitionKey}, true
}

// Fold applies an event to a document; the verdict says what else a reader has to do (events.md 3.3).
func Fold(before Doc, ev events.Stored) (Doc, lifecycle.Verdict) {
	head, v := lifecycle.Fold(before.Head, ev.Event)
	if v != lifecycle.Applied {
		return before, v
	}
	if err := decodable(before.Key.Entity, ev.Data); err != nil {
		return before, lifecycle.Malformed
	}
	return Doc{Key: before.Key, Head: head, Seq: ev.Seq, Data: ev.Data}, v
}

// decodable makes sure that whoever reads the document later can.
func decodable(e events.Entity, data []byte) error {
	switch e {
	case events.Backups:
		return json.Unmarshal(data, new(events.Backup))
	case events.Restores:
		return json.Unmarshal(data, new(events.Restore))
	case events.Schedules:
		return json.Unmarshal(data, new(events.Schedule))
	}
	return json.Unmarshal(data, new(events.Instance))
}

func record[R any](d Doc) (R, error) {
	var r R
	if err := json.Unmarshal(d.Data, &r); err != nil {
		return r, fmt.Errorf("document %s of the view: %w", d.Key.ID, err)
	}
	return r, nil
}
