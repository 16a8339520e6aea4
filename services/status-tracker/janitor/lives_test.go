package janitor_test

import (
	"hash/fnv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func backup(id string) events.Backup {
	return events.Backup{BackupID: id, Project: "p", Provider: "sqlite", Instance: "orders", Trigger: events.Scheduled, RequestID: "rq_" + id,
		IDs: events.NewBackupIDs(id, "", noon.Add(own(id))), EnqueuedTime: events.At(noon), DueTime: events.At(noon),
		Verification: events.NotVerified}
}

// own is a time of an id's own: its number in Cloud SQL comes from it.
func own(id string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return time.Duration(h.Sum32()) * time.Millisecond
}

// live writes a life of a backup, a word for each step; ! leaves remains.
func (w *world) live(id, steps string) {
	w.t.Helper()
	b := backup(id)
	for _, word := range strings.Fields(steps) {
		step, remains := strings.CutSuffix(word, "!")
		switch events.Step(step) {
		case events.Requested:
			b.MaxAttempts = 3
		case events.Overdue:
			b.Overdue = &events.OverdueNote{Requested: b.EverRequested()}
		case events.Started:
			b = lifecycle.Claim(b, noon, "ex")
		case events.AttemptFailed:
			b = lifecycle.FailAttempt(b, &events.Failure{Code: events.Network}, noon)
		case events.Succeeded:
			b = lifecycle.Complete(b, noon, lifecycle.Outcome{Proof: events.ProofStored})
		case events.Failed:
			b = lifecycle.Fail(b, noon, &events.Failure{Code: events.Network}, nil, remains)
		case events.CancelRequested:
			b = lifecycle.AskCancel(b, events.Cancel{})
		case events.Cancelled:
			b = lifecycle.Stop(b, noon, nil, remains)
		case events.DeletionRequested:
			b = lifecycle.AskDeletion(b, events.Deletion{Cause: "USER"})
		case events.Deleted:
			b = lifecycle.Remove(b, noon, 1)
		case events.DeletionFailed:
			b = lifecycle.FailDeletion(b, noon, &events.Failure{Code: events.Network})
		case events.VerificationRequested:
			b = lifecycle.AskCheck(b, events.Check{})
		case events.Verified:
			b = lifecycle.FinishCheck(b, noon, noon, lifecycle.Checked{}, nil)
		case events.Skipped:
			b.Skip = &events.Skip{Reason: "NO_CHANGES"}
		}
		var err error
		if b, err = lifecycle.Advance(b, events.Step(step)); err != nil {
			w.t.Fatal(err)
		}
		w.write(b, events.Step(step))
	}
}

// lives are lives of backups up to every state, by what is left of them.
var lives = map[string]struct {
	steps string
	left  lifecycle.Left
}{
	"enqueued":         {"requested", lifecycle.LastEvent},
	"enqueued_again":   {"requested started attempt_failed", lifecycle.LastEvent},
	"overdue_never":    {"overdue", lifecycle.Nothing},
	"overdue_asked":    {"requested overdue", lifecycle.LastEvent},
	"overdue_running":  {"requested started overdue", lifecycle.LastEvent},
	"running":          {"requested started", lifecycle.LastEvent},
	"cancelling":       {"requested started cancel_requested", lifecycle.LastEvent},
	"successful":       {"requested started succeeded", lifecycle.LastEvent},
	"verified":         {"requested started succeeded verification_requested verified", lifecycle.LastEvent},
	"failed":           {"requested started failed", lifecycle.Nothing},
	"failed_remains":   {"requested started failed!", lifecycle.LastEvent},
	"skipped":          {"skipped", lifecycle.Nothing},
	"skipped_late":     {"overdue skipped", lifecycle.Nothing},
	"cancelled":        {"requested cancel_requested cancelled", lifecycle.Nothing},
	"cancelled_left":   {"requested started cancel_requested cancelled!", lifecycle.LastEvent},
	"deletion_pending": {"requested started succeeded deletion_requested", lifecycle.LastEvent},
	"deletion_failed":  {"requested started succeeded deletion_requested deletion_failed", lifecycle.LastEvent},
	"deleted":          {"requested started succeeded deletion_requested deleted", lifecycle.Nothing},
}

// others are the lives of what is no backup.
func (w *world) others(age string) map[string]lifecycle.Left {
	w.t.Helper()
	want := map[string]lifecycle.Left{}
	for name, c := range map[string]struct {
		steps []events.Step
		left  lifecycle.Left
	}{
		"open":    {[]events.Step{events.Requested}, lifecycle.Whole},
		"running": {[]events.Step{events.Requested, events.Started}, lifecycle.Whole},
		"done":    {[]events.Step{events.Requested, events.Started, events.Succeeded}, lifecycle.Nothing},
		"failed":  {[]events.Step{events.Requested, events.Failed}, lifecycle.Nothing},
	} {
		r := events.Restore{RestoreID: "rs_" + name + age, BackupID: "bk_successful" + age, Project: "p", Provider: "sqlite", Instance: "orders",
			IDs: events.RestoreIDs{Operation: "op-" + name + age}, Target: events.Target{Instance: "copy"}, EnqueuedTime: events.At(noon)}
		for _, step := range c.steps {
			var err error
			if r, err = lifecycle.AdvanceRestore(r, step); err != nil {
				w.t.Fatal(err)
			}
			w.write(r, step)
		}
		want[r.RestoreID] = c.left
	}
	for name, last := range map[string]events.Step{"there": events.Updated, "gone": ""} {
		removed := func(step events.Step) []events.Step {
			if last == "" {
				return []events.Step{step}
			}
			return []events.Step{last}
		}
		id := name + age
		for n, step := range append([]events.Step{events.Registered}, removed(events.Deregistered)...) {
			w.write(events.Instance{Project: "p", InstanceID: "in_" + id, Provider: "sqlite", Instance: id, Generation: n + 1}, step)
		}
		for n, step := range append([]events.Step{events.Created}, removed(events.Deleted)...) {
			w.write(events.Schedule{Project: "p", ScheduleID: "sc_" + id, Name: id, Provider: "sqlite", Instance: "orders", Generation: n + 1,
				Config: events.ScheduleConfig{Cron: "0 2 * * *"}}, step)
			w.write(events.Subscription{Project: "p", SubscriptionID: "su_" + id, Generation: n + 1}, step)
		}
		for _, prefix := range []string{"in_", "sc_", "su_"} {
			want[prefix+id] = lifecycle.LastEvent
		}
	}
	rejected := events.RejectedRequest{Project: "p", RequestID: "rq_r" + age, Reason: "INTERNAL", Retryable: true}
	w.write(rejected, events.Rejected)
	rejected.RequestID = "rq_a" + age
	w.write(rejected, events.Rejected)
	w.write(events.AcceptedRequest{Project: "p", RequestID: "rq_a" + age, BackupID: "bk_successful"}, events.Accepted)
	w.write(events.DeadDelivery{Project: "p", DeliveryID: "dl_d" + age, SubscriptionID: "su_there", EventSource: "//bus.local/projects/p/x"}, events.DeadLettered)
	for _, id := range []string{"rq_r", "rq_a", "dl_d"} {
		want[id+age] = lifecycle.Nothing
	}
	return want
}
