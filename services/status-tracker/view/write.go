package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/backupbus/backupbus/events"
)

// Checkpoint says what a shard has applied: everything up to Seq of the log that Epoch names. It is
// written in the same MULTI as the documents, and it alone decides where a projector goes on.
type Checkpoint struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// Change is a document before and after a batch of events. One that has no event after it is forgotten.
type Change struct{ Before, After Doc }

// ErrBehind means that the view has not everything that was to be forgotten, or that another replica writes it.
var ErrBehind = errors.New("the view is behind, or another replica writes it")

// Seen is a document by the stream sequence of its last event.
type Seen struct {
	Key Key
	Seq uint64
}

// Load reads documents; what is not there is a zero Doc with its Key.
func (v *View) Load(ctx context.Context, keys []Key) ([]Doc, error) {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = docKey(v.shard(k.Project), k)
	}
	vals, err := v.store.Get(ctx, names...)
	if err != nil {
		return nil, err
	}
	docs := make([]Doc, len(keys))
	for i, k := range keys {
		if vals[i] != nil {
			if err := json.Unmarshal(vals[i], &docs[i]); err != nil {
				return nil, fmt.Errorf("document %s of the view: %w", k.ID, err)
			}
		}
		docs[i].Key = k
	}
	return docs, nil
}

// Save writes the changes of one batch with the checkpoint they lead to. Every shard gets the checkpoint,
// so that the lowest of them is where to go on.
func (v *View) Save(ctx context.Context, changes []Change, cp Checkpoint) error {
	var w Writes
	for _, c := range changes {
		s := v.shard(c.After.Key.Project)
		before, err := entriesOf(c.Before, s)
		if err != nil {
			return err
		}
		after, err := entriesOf(c.After, s)
		if err != nil {
			return err
		}
		diff(&w, before, after)
		if c.After.Head.Sequence == 0 {
			w.Delete = append(w.Delete, docKey(s, c.After.Key), progressKey(s, c.After.Key.Project, c.After.Key.ID))
			continue
		}
		b, err := json.Marshal(c.After)
		if err != nil {
			return fmt.Errorf("document %s of the view: %w", c.After.Key.ID, err)
		}
		w.Put = append(w.Put, Pair{Key: docKey(s, c.After.Key), Value: b})
	}
	b, err := json.Marshal(cp)
	if err != nil {
		return err
	}
	for s := range v.shards {
		w.Put = append(w.Put, Pair{Key: checkpointKey(s), Value: b})
	}
	return v.store.Commit(ctx, w)
}

// Checkpoint is the lowest of all shards; the zero value if any has none, or if they are of several logs.
func (v *View) Checkpoint(ctx context.Context) (Checkpoint, error) {
	keys := make([]string, v.shards)
	for s := range keys {
		keys[s] = checkpointKey(s)
	}
	cps, err := v.checkpoints(ctx, keys...)
	if err != nil {
		return Checkpoint{}, err
	}
	low := cps[0]
	for _, cp := range cps {
		if cp.Epoch != low.Epoch {
			return Checkpoint{}, nil
		}
		low.Seq = min(low.Seq, cp.Seq)
	}
	return low, nil
}

// SaveProgress keeps the last progress of a backup or a restore, and the highest percentage so far: a new attempt begins anew.
func (v *View) SaveProgress(ctx context.Context, p events.Progress) error {
	next, id := progress{Progress: p}, p.Aggregate().ID
	peaks, err := v.Peaks(ctx, p.Project, []string{id})
	if err != nil {
		return err
	}
	next.Peak = peaks[id]
	if p.Percent != nil {
		next.Peak = max(next.Peak, *p.Percent)
	}
	doc, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("progress of %s: %w", id, err)
	}
	return v.store.Commit(ctx, Writes{Put: []Pair{{Key: progressKey(v.shard(p.Project), p.Project, id), Value: doc, TTL: progressLife}}})
}

// Drop empties the view.
func (v *View) Drop(ctx context.Context) error { return v.store.Drop(ctx) }

func (v *View) checkpoint(ctx context.Context, shard int) (Checkpoint, error) {
	cps, err := v.checkpoints(ctx, checkpointKey(shard))
	if err != nil {
		return Checkpoint{}, err
	}
	return cps[0], nil
}

func (v *View) checkpoints(ctx context.Context, keys ...string) ([]Checkpoint, error) {
	got, err := v.store.Get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	cps := make([]Checkpoint, len(keys))
	for i, b := range got {
		if b == nil {
			continue
		}
		if err := json.Unmarshal(b, &cps[i]); err != nil {
			return nil, fmt.Errorf("checkpoint of the view: %w", err)
		}
	}
	return cps, nil
}
