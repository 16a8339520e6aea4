package mysql

import (
	"testing"

	"github.com/backupbus/backupbus/events"
)

func TestOfNumber_NumberThatTheKindsUseDifferentlyBlamesNoConnection(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]events.Code{2013: events.ProviderUnavailable, 4031: events.Internal} {
		if f := ofNumber(n); f.Code != want {
			t.Errorf("%d: want %s, got %s", n, want, f.Code)
		}
	}
}
