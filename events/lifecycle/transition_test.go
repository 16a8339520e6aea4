package lifecycle_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

var update = flag.Bool("update", false, "rewrite golden files")

var states = []events.State{lifecycle.None, lifecycle.Enqueued, lifecycle.Overdue, lifecycle.Running, lifecycle.Cancelling,
	lifecycle.Successful, lifecycle.Failed, lifecycle.Skipped, lifecycle.Cancelled, lifecycle.DeletionPending,
	lifecycle.DeletionFailed, lifecycle.Deleted}

var backupSteps = []events.Step{events.Requested, events.Skipped, events.Overdue, events.Updated, events.Started,
	events.ProgressStep, events.AttemptFailed, events.Succeeded, events.Failed, events.CancelRequested, events.Cancelled,
	events.VerificationRequested, events.Verified, events.VerificationFailed, events.DeletionRequested, events.Deleted,
	events.DeletionFailed}

// contract is the table of events.md 3.1 written down a second time, by hand: step → from → to.
var contract = map[events.Step]map[events.State]events.State{
	events.Requested:             {"": "ENQUEUED", "OVERDUE": "ENQUEUED"}, // OVERDUE: if never requested
	events.Skipped:               {"": "SKIPPED", "ENQUEUED": "SKIPPED", "OVERDUE": "SKIPPED"},
	events.Overdue:               {"": "OVERDUE", "ENQUEUED": "OVERDUE", "RUNNING": "RUNNING"},
	events.Updated:               {"ENQUEUED": "ENQUEUED", "OVERDUE": "OVERDUE", "RUNNING": "RUNNING", "CANCELLING": "CANCELLING", "SUCCESSFUL": "SUCCESSFUL", "DELETION_FAILED": "DELETION_FAILED"},
	events.Started:               {"ENQUEUED": "RUNNING"}, // OVERDUE: if requested
	events.ProgressStep:          {"RUNNING": "RUNNING", "CANCELLING": "CANCELLING"},
	events.AttemptFailed:         {"RUNNING": "ENQUEUED"},
	events.Succeeded:             {"RUNNING": "SUCCESSFUL", "CANCELLING": "SUCCESSFUL"},
	events.Failed:                {"ENQUEUED": "FAILED", "OVERDUE": "FAILED", "RUNNING": "FAILED", "CANCELLING": "FAILED"},
	events.CancelRequested:       {"ENQUEUED": "CANCELLING", "OVERDUE": "CANCELLING", "RUNNING": "CANCELLING"},
	events.Cancelled:             {"CANCELLING": "CANCELLED"},
	events.VerificationRequested: {"SUCCESSFUL": "SUCCESSFUL", "DELETION_FAILED": "DELETION_FAILED"},
	events.Verified:              {"SUCCESSFUL": "SUCCESSFUL", "DELETION_FAILED": "DELETION_FAILED"},
	events.VerificationFailed:    {"SUCCESSFUL": "SUCCESSFUL", "DELETION_FAILED": "DELETION_FAILED"},
	events.DeletionRequested:     {"SUCCESSFUL": "DELETION_PENDING", "FAILED": "DELETION_PENDING", "SKIPPED": "DELETION_PENDING", "CANCELLED": "DELETION_PENDING", "DELETION_FAILED": "DELETION_PENDING", "OVERDUE": "DELETION_PENDING"},
	events.Deleted:               {"DELETION_PENDING": "DELETED"},
	events.DeletionFailed:        {"DELETION_PENDING": "DELETION_FAILED"},
}

// Case S1: each row leads where the contract says, each other pair is refused.
func TestCheck_EveryPairOfTheContract(t *testing.T) {
	t.Parallel()
	for _, step := range backupSteps {
		for _, from := range states {
			want, legal := contract[step][from]
			got, err := lifecycle.Check(events.Backups, step, from, lifecycle.Facts{})
			if legal && (err != nil || got != want) {
				t.Errorf("%s from %q = %q, %v; want %q", step, from, got, err, want)
			}
			if !legal && !errors.Is(err, lifecycle.ErrIllegal) {
				t.Errorf("%s from %q = %q, %v; want ErrIllegal", step, from, got, err)
			}
		}
	}
}

func TestCheck_Guards(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		step  events.Step
		from  events.State
		facts lifecycle.Facts
		legal bool
	}{
		{events.Requested, lifecycle.Overdue, lifecycle.Facts{Requested: true}, false},
		{events.Started, lifecycle.Overdue, lifecycle.Facts{Requested: true}, true},
		{events.DeletionRequested, lifecycle.Overdue, lifecycle.Facts{Requested: true}, false},
		{events.Deleted, lifecycle.Successful, lifecycle.Facts{Cause: "EXTERNAL"}, true},
		{events.Deleted, lifecycle.Failed, lifecycle.Facts{Cause: "RETENTION"}, true},
		{events.Deleted, lifecycle.DeletionFailed, lifecycle.Facts{Cause: "EXTERNAL"}, true},
		{events.Deleted, lifecycle.Successful, lifecycle.Facts{Cause: "USER"}, false},
		{events.Deleted, lifecycle.Running, lifecycle.Facts{Cause: "EXTERNAL"}, false},
	} {
		_, err := lifecycle.Check(events.Backups, row.step, row.from, row.facts)
		if legal := err == nil; legal != row.legal {
			t.Errorf("%s from %s with %+v: legal = %v", row.step, row.from, row.facts, legal)
		}
	}
}

func TestCheck_OtherEntities(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		entity   events.Entity
		step     events.Step
		from, to events.State
	}{
		{events.Restores, events.Requested, lifecycle.None, lifecycle.Enqueued},
		{events.Restores, events.Started, lifecycle.Enqueued, lifecycle.Running},
		{events.Restores, events.ProgressStep, lifecycle.Running, lifecycle.Running},
		{events.Restores, events.Succeeded, lifecycle.Running, lifecycle.Successful},
		{events.Restores, events.Failed, lifecycle.Enqueued, lifecycle.Failed},
		{events.Instances, events.Registered, lifecycle.None, lifecycle.Present},
		{events.Instances, events.Registered, lifecycle.Removed, lifecycle.Present},
		{events.Instances, events.Deregistered, lifecycle.Present, lifecycle.Removed},
		{events.Schedules, events.Updated, lifecycle.Present, lifecycle.Present},
		{events.Subscriptions, events.Failing, lifecycle.Present, lifecycle.Present},
		{events.Requests, events.Accepted, lifecycle.Rejected, lifecycle.Accepted},
		{events.Deliveries, events.DeadLettered, lifecycle.None, lifecycle.Dead},
		{events.Restores, events.Succeeded, lifecycle.Enqueued, ""},
		{events.Instances, events.Registered, lifecycle.Present, ""},
		{events.Requests, events.Rejected, lifecycle.Accepted, ""},
		{events.Deliveries, events.DeadLettered, lifecycle.Dead, ""},
	} {
		got, err := lifecycle.Check(row.entity, row.step, row.from, lifecycle.Facts{})
		if got != row.to || (err == nil) != (row.to != "") {
			t.Errorf("%s.%s from %q = %q, %v; want %q", row.entity, row.step, row.from, got, err, row.to)
		}
	}
}

func TestDiagram_IsTheTable(t *testing.T) {
	t.Parallel()
	for _, e := range []events.Entity{events.Backups, events.Restores} {
		file := filepath.Join("testdata", string(e)+".mmd")
		got := lifecycle.Diagram(e)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s is not what the table says (go test -update rewrites it):\n%s", file, diff)
		}
	}
}

func TestPhases_CoverEveryState(t *testing.T) {
	t.Parallel()
	for _, s := range states[1:] {
		b := events.Backup{State: s, MaxAttempts: 1}
		p := lifecycle.PhaseOf(b)
		busy := slices.Contains([]lifecycle.Phase{lifecycle.Waiting, lifecycle.Working, lifecycle.Stopping}, p)
		if busy != lifecycle.Occupies(b, false) {
			t.Errorf("%s: phase %v, occupies %v", s, p, !busy)
		}
	}
	if p := lifecycle.PhaseOf(events.Backup{State: lifecycle.Overdue}); p != lifecycle.Unrequested {
		t.Errorf("a slot nobody asked for has phase %v", p)
	}
}
