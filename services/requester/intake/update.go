package intake

import (
	"context"
	"errors"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Amend changes what may be changed of a backup that is there; a nil field stays.
type Amend struct {
	Caller
	Project     string
	BackupID    string
	Description *string
	ExpireTime  *time.Time                                       // the zero time: never
	Labels      func(before map[string]string) map[string]string // may be called more than once
	Held        *bool
}

// Amend appends `backup.updated`. A change to the same value is an update all the same: who asks for an operation
// gets one. What has ended without a copy, or is going, is NOT_AMENDABLE.
func (i *Intake) Amend(ctx context.Context, c Amend) (Receipt, error) {
	if err := i.checkAmend(c); err != nil {
		return Receipt{}, err
	}
	for range maxRounds {
		b, err := i.Backup(ctx, c.Project, c.BackupID)
		if err != nil {
			return Receipt{}, err
		}
		r, err := i.amendOnce(ctx, c, b.Updates+1)
		if !errors.Is(err, errMoved) {
			return r, err
		}
	}
	return Receipt{}, refuse(Unavailable, BusUnavailable, "others keep changing backup %s: look at it, then ask again", c.BackupID)
}

func (i *Intake) checkAmend(c Amend) error {
	if c.Description == nil && c.ExpireTime == nil && c.Labels == nil && c.Held == nil {
		return refuse(Invalid, SchemaViolation, "nothing is to be changed: name the description, the expiry, the labels or the hold")
	}
	if c.Description != nil {
		if err := text("description", *c.Description, 1024); err != nil {
			return err
		}
	}
	if c.ExpireTime != nil {
		return expiry(*c.ExpireTime, i.now())
	}
	return nil
}

func (i *Intake) amendOnce(ctx context.Context, c Amend, n int) (Receipt, error) {
	return i.change(ctx, Change{Caller: c.Caller, Project: c.Project, BackupID: c.BackupID}, change{
		step: events.Updated, n: n, illegal: NotAmendable,
		move: func(_ context.Context, b events.Backup, rq string, _ events.Prior) (events.Backup, error) {
			if b.Updates+1 != n {
				return b, errMoved
			}
			var amended map[string]string
			if c.Labels != nil {
				amended = c.Labels(b.Labels)
				if err := labels(amended); err != nil {
					return b, err
				}
			}
			next := lifecycle.Amend(b, events.Update{RequestTime: events.At(i.now()), RequestID: rq, RequestedBy: c.Name}, func(b *events.Backup) (changed []string) {
				if c.Description != nil {
					b.Description, changed = *c.Description, append(changed, "description")
				}
				if c.ExpireTime != nil {
					b.ExpireTime, changed = events.Time{}, append(changed, "expireTime")
					if !c.ExpireTime.IsZero() {
						b.ExpireTime = events.AtMicro(*c.ExpireTime)
					}
				}
				if c.Held != nil {
					b.Held, changed = *c.Held, append(changed, "held")
				}
				if c.Labels != nil {
					b.Labels, changed = amended, append(changed, "labels")
				}
				return changed
			})
			return next, roomy(next)
		},
	})
}
