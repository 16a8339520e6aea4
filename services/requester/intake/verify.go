package intake

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// methods of a verification (events.md 2.1), the default first.
var methods = []string{"CHECKSUM", "METADATA", "RESTORE_TEST"}

// Verify appends `verification_requested`: the stored copy is proven again. One check of a backup runs at a
// time; what has no good copy, or is being checked, is NOT_VERIFIABLE. The empty method is CHECKSUM.
func (i *Intake) Verify(ctx context.Context, c Change, method string) (Receipt, error) {
	if method == "" {
		method = methods[0]
	}
	if !slices.Contains(methods, method) {
		return Receipt{}, refuse(Invalid, SchemaViolation, "method %q is none of %s", events.Clip(method, 40), strings.Join(methods, ", "))
	}
	for range maxRounds {
		r, err := i.verifyOnce(ctx, c, method)
		if !errors.Is(err, errMoved) {
			return r, err
		}
	}
	return Receipt{}, refuse(Unavailable, BusUnavailable, "others keep changing backup %s: look at it, then ask again", c.BackupID)
}

func (i *Intake) verifyOnce(ctx context.Context, c Change, method string) (Receipt, error) {
	b, err := i.Backup(ctx, c.Project, c.BackupID)
	if err != nil {
		return Receipt{}, err
	}
	n := lifecycle.NextCheck(b)
	return i.change(ctx, c, change{
		step: events.VerificationRequested, n: n, illegal: NotVerifiable,
		move: func(_ context.Context, b events.Backup, rq string, _ events.Prior) (events.Backup, error) {
			if lifecycle.Checking(b) {
				return b, refuse(Conflict, NotVerifiable, "backup %s is being verified: wait for the outcome, then ask again", b.BackupID)
			}
			if lifecycle.NextCheck(b) != n {
				return b, errMoved
			}
			return lifecycle.AskCheck(b, events.Check{Method: method, Reason: "USER", RequestID: rq, RequestedBy: c.Name}), nil
		},
	})
}
