package events

// Emitter is who appends events of a type.
type Emitter string

// The emitters of events.md 1.5.
const (
	ByRequester Emitter = "requester"
	ByExecutor  Emitter = "executor"
	ByNotifier  Emitter = "notifier"
	ByOutsider  Emitter = "outsider" // commands
)

// Emission is what an emitter appends about an entity.
type Emission struct {
	By     Emitter
	Entity Entity
	Steps  []Step // none: all there are
}

// emissions are the rows of events.md 1.5: who appends which step. An executor skips what has not changed.
var emissions = []Emission{
	{ByRequester, Backups, []Step{Requested, Updated, Skipped, CancelRequested, VerificationRequested, DeletionRequested, Overdue, Cancelled, Failed}},
	{ByRequester, Restores, []Step{Requested}},
	{ByRequester, Instances, nil},
	{ByRequester, Schedules, nil},
	{ByRequester, Requests, nil},
	{ByExecutor, Backups, []Step{ProgressStep, Updated, Started, Skipped, Succeeded, Verified, Deleted,
		AttemptFailed, VerificationFailed, DeletionFailed, Cancelled, Failed}},
	{ByExecutor, Restores, []Step{ProgressStep, Started, Succeeded, Failed}},
	{ByNotifier, Subscriptions, nil},
	{ByNotifier, Deliveries, nil},
	{ByOutsider, "command", nil},
}

// EmittedBy is all that an emitter appends. The caller changes nothing in it.
func EmittedBy(who Emitter) []Emission {
	var out []Emission
	for _, e := range emissions {
		if e.By == who {
			out = append(out, e)
		}
	}
	return out
}
