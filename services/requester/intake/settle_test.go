package intake_test

import (
	"context"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// stalled is a view that tells of no change; when nobody waits any more, it has it all the same.
type stalled struct {
	intake.Reader
	giveUp func()
	moved  bool
}

func (s *stalled) Reached(context.Context, string) (uint64, error) { return 1, nil }

func (s *stalled) Moved(ctx context.Context, _ string, _ uint64) error {
	s.giveUp()
	<-ctx.Done()
	s.moved = true
	return ctx.Err()
}

func (s *stalled) Backup(context.Context, string, string) (events.Backup, error) {
	if s.moved {
		return events.Backup{State: lifecycle.Cancelled}, nil
	}
	return events.Backup{State: lifecycle.Cancelling}, nil
}

func TestSettled_LooksOnceMoreAtTheEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	w := world{t: t}
	b, err := w.over(nil, &stalled{giveUp: cancel}).Settled(ctx, "shop", "bk_a")
	if err != nil || b.State != lifecycle.Cancelled {
		t.Errorf("%s, %v", b.State, err)
	}
}
