package lifecycle

import (
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Every step of every life has an answer, and a backup that runs, or has or may have left something, is never given up
// (events.md 4.4, case S18).
func TestLeftBy_KnowsEveryRowOfTheTable(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	answer := func(p events.Payload, s events.Step) Left {
		t.Helper()
		ev, err := events.New("bus.local", p, s, "x", 7, at, events.Cause{})
		if err != nil {
			t.Fatal(err)
		}
		return LeftBy(ev)
	}
	for _, row := range table {
		if row.Step == events.ProgressStep {
			continue // not in the log of events
		}
		for _, from := range row.From {
			to := row.To
			if to == Unchanged {
				to = from
			}
			for _, asked := range []bool{false, true} {
				for _, remains := range []bool{false, true} {
					var p events.Payload
					want := LastEvent
					switch row.Entity {
					case events.Backups:
						b := events.Backup{BackupID: "bk_a", Project: "p", Provider: "sqlite", Instance: "i", Step: row.Step, PreviousState: from, State: to,
							PartialRemains: remains, Deletion: &events.Deletion{Cause: "RETENTION"}}
						if asked {
							b.MaxAttempts = 1
						}
						f := Facts{Requested: asked && row.Step != events.Requested, Cause: "RETENTION"}
						if _, err := Check(row.Entity, row.Step, from, f); err != nil {
							continue // that life does not come here
						}
						switch to {
						case Skipped, Deleted:
							want = Nothing
						case Failed, Cancelled:
							if !remains {
								want = Nothing
							}
						case Overdue:
							if !asked {
								want = Nothing
							}
						}
						p = b
					case events.Restores:
						p = events.Restore{RestoreID: "rs_a", Project: "p", Provider: "sqlite", Instance: "i", Step: row.Step, PreviousState: from, State: to}
						if want = Whole; to == Successful || to == Failed {
							want = Nothing
						}
					case events.Instances:
						p = events.Instance{InstanceID: "in_a", Project: "p", Provider: "sqlite", Instance: "i"}
					case events.Schedules:
						p = events.Schedule{ScheduleID: "sc_a", Project: "p", Provider: "sqlite", Instance: "i"}
					case events.Subscriptions:
						p = events.Subscription{SubscriptionID: "su_a", Project: "p"}
					case events.Requests:
						p, want = events.RejectedRequest{RequestID: "rq_a", Project: "p"}, Nothing
						if row.Step == events.Accepted {
							p = events.AcceptedRequest{RequestID: "rq_a", Project: "p"}
						}
					case events.Deliveries:
						p, want = events.DeadDelivery{DeliveryID: "dl_a", SubscriptionID: "su_a", Project: "p"}, Nothing
					}
					if got := answer(p, row.Step); got != want {
						t.Errorf("%s.%s from %q, requested %v, remains %v: %s, want %s", row.Entity, row.Step, from, asked, remains, got, want)
					}
				}
			}
		}
	}
}

func TestLeftBy_DoesNotGuess(t *testing.T) {
	t.Parallel()
	b := events.Backup{BackupID: "bk_a", Project: "p", Provider: "sqlite", Instance: "i", Step: events.Failed, PreviousState: Running, State: Failed, MaxAttempts: 1}
	good, err := events.New("bus.local", b, events.Failed, "x", 7, time.Unix(1, 0), events.Cause{})
	if err != nil {
		t.Fatal(err)
	}
	if got := LeftBy(good); got != Nothing {
		t.Fatalf("%s", got)
	}
	for what, change := range map[string]func(*events.Event){
		"another entity":  func(e *events.Event) { e.Type = "dev.backupbus.snapshot.failed.v1" },
		"another step":    func(e *events.Event) { e.Type = "dev.backupbus.backup.frozen.v1" },
		"a later version": func(e *events.Event) { e.Type = "dev.backupbus.backup.failed.v2" },
		"no type":         func(e *events.Event) { e.Type = "failed" },
		"no sequence":     func(e *events.Event) { e.Sequence = "" },
		"no record":       func(e *events.Event) { e.Data = []byte(`[]`) },
		"another state":   func(e *events.Event) { e.Data = []byte(`{"previousState":"RUNNING","state":"FROZEN"}`) },
		"an illegal step": func(e *events.Event) { e.Data = []byte(`{"previousState":"DELETED","state":"FAILED"}`) },
		"a record at odds": func(e *events.Event) {
			e.Data = []byte(`{"previousState":"RUNNING","state":"FAILED","partialRemains":"perhaps"}`)
		},
	} {
		ev := good
		change(&ev)
		if got := LeftBy(ev); got != Unclear {
			t.Errorf("%s: %s", what, got)
		}
	}
}
