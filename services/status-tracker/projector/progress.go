package projector

import (
	"context"
	"errors"

	"github.com/backupbus/backupbus/events"
)

// RunProgress keeps the last progress of each backup and restore in the view until ctx ends. Progress may be lost: a
// message that cannot be used is dropped, one that comes late is not kept.
func (p *Projector) RunProgress(ctx context.Context, source Source) error {
	for {
		err := p.insist(ctx, func(ctx context.Context) error {
			msgs, err := source.Next(ctx, maxBatch)
			if err != nil {
				return err
			}
			for _, m := range msgs {
				if err := p.keep(ctx, m.Header, m.Data); err != nil {
					return err
				}
			}
			return source.Ack(msgs[len(msgs)-1])
		})
		if err != nil {
			return err
		}
	}
}

func (p *Projector) keep(ctx context.Context, header map[string][]string, body []byte) error {
	ev, err := events.Parse(header, body)
	if err != nil {
		return nil //nolint:nilerr // droppable by contract (events.md 3.3)
	}
	next, err := events.Decode[events.Progress](ev)
	if err != nil || next.Project == "" || next.Aggregate().ID == "" {
		return nil //nolint:nilerr // droppable by contract (events.md 3.3)
	}
	last, err := p.view.Progress(ctx, next.Project, next.Aggregate().ID)
	if err != nil && !errors.Is(err, events.ErrNotFound) {
		return err
	}
	if next.Attempt < last.Attempt || next.Attempt == last.Attempt && next.Ordinal <= last.Ordinal {
		return nil
	}
	return p.view.SaveProgress(ctx, next)
}
