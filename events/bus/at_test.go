package bus_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
)

func TestEventAt_IsTheEventOfThatPlace(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	first := must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", 1))))
	must[bus.Appended](t)(b.Append(ctx, started(backup("orders", 1), 1, "ex-a")))
	got := must[events.Stored](t)(b.EventAt(ctx, first.Seq))
	if diff := cmp.Diff(first.ID, got.ID); diff != "" || got.Seq != first.Seq {
		t.Error(diff)
	}
	if _, err := b.EventAt(ctx, 99); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
