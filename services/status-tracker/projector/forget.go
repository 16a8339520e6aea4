package projector

import (
	"context"

	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// Forget implements janitor.View between two batches. A document that has another last event than was seen is left as
// it is, and then is not called for it.
//
// The checkpoint that stood before is written with it: should another replica have moved on since, it finds its own
// checkpoint taken back and reads what came in between again, the events of these documents too.
func (p *Projector) Forget(ctx context.Context, seen []view.Seen, then func(n int) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cp, err := p.view.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if cp != p.at {
		return view.ErrBehind
	}
	keys := make([]view.Key, len(seen))
	for i, s := range seen {
		if keys[i] = s.Key; s.Seq > cp.Seq {
			return view.ErrBehind
		}
	}
	docs, err := p.view.Load(ctx, keys)
	if err != nil {
		return err
	}
	var changes []view.Change
	var forgotten []int
	for i, d := range docs {
		switch d.Seq {
		case seen[i].Seq:
			changes = append(changes, view.Change{Before: d, After: view.Doc{Key: d.Key}})
		case 0: // forgotten before, by a run that did not come to its end
		default:
			continue
		}
		forgotten = append(forgotten, i)
	}
	if len(changes) > 0 {
		if err := p.save(ctx, changes, cp.Seq); err != nil {
			return err
		}
	}
	for _, i := range forgotten {
		if err := then(i); err != nil {
			return err
		}
	}
	return nil
}
