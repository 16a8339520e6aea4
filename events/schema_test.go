package events_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/eventstest"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/schemas"
)

var update = flag.Bool("update", false, "rewrite golden files")

// The examples in schemas/ are what this code writes, each is valid, and each schema has one.
func TestSchemas_EveryTypeHasAValidExample(t *testing.T) {
	t.Parallel()
	made := slices.Concat(examples(t), commandExamples(t))
	var types []string
	for _, ev := range made {
		types = append(types, ev.Type)
		eventstest.Valid(t, dressed(ev))
		line, err := events.Structured(ev)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := json.Indent(&b, line, "", "  "); err != nil {
			t.Fatal(err)
		}
		b.WriteByte('\n')
		if *update {
			file := filepath.Join("..", "schemas", "examples", strings.TrimPrefix(ev.Type, "dev.backupbus.")+".json")
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := schemas.Example(ev.Type)
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("example of %s (go test -update rewrites it):\n%s", ev.Type, diff)
		}
	}
	slices.Sort(types)
	if diff := cmp.Diff(schemas.Types(), types); diff != "" {
		t.Errorf("schemas and examples are not of the same types:\n%s", diff)
	}
}

func TestSchemas_RefuseABrokenEvent(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*events.Event){
		"missing field": func(e *events.Event) { e.Data = bytes.Replace(e.Data, []byte(`"backupId"`), []byte(`"backupIdd"`), 1) },
		"wrong state":   func(e *events.Event) { e.Data = bytes.Replace(e.Data, []byte(`"ENQUEUED"`), []byte(`"RUNNING"`), 1) },
		"number as a string": func(e *events.Event) {
			e.Data = bytes.Replace(e.Data, []byte(`"attempt":0`), []byte(`"attempt":"0"`), 1)
		},
		"id with a stop": func(e *events.Event) { e.ID = "a.b" },
		"no sequence":    func(e *events.Event) { e.Sequence = "" },
	} {
		ev := examples(t)[0]
		spoil(&ev)
		if eventstest.Check(ev) == nil {
			t.Errorf("%s: the schema let it pass", name)
		}
	}
}

// examples builds one event of every type that exists, with the functions that the services use.
func examples(t testing.TB) []events.Event {
	t.Helper()
	at := time.Date(2026, 1, 15, 2, 0, 0, 250e6, time.UTC)
	tick := func() time.Time { at = at.Add(4 * time.Second); return at }
	origin := events.Origin{Source: "//bus.local/doors/native", Key: "example"}
	id, err := events.BackupID("shop", origin)
	if err != nil {
		t.Fatal(err)
	}
	rq, err := events.RequestID("shop", origin)
	if err != nil {
		t.Fatal(err)
	}
	var out []events.Event
	emit := func(p events.Payload, step events.Step, n int, seq uint64) {
		ev, err := events.New("bus.local", p, step, events.EventID(p.Aggregate().ID, p.Aggregate().Entity, step, n), seq, at,
			events.Cause{CorrelationID: rq, Trace: events.Trace{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ev)
	}
	step := func(b events.Backup, s events.Step, n int, seq uint64) events.Backup {
		b, err := lifecycle.Advance(b, s)
		if err != nil {
			t.Fatal(err)
		}
		emit(b, s, n, seq)
		return b
	}
	base := events.Backup{BackupID: id, Project: "shop", Provider: "sqlite", Instance: "orders-db", Engine: "sqlite",
		IDs: events.NewBackupIDs(id, "", at), Trigger: events.OnDemand, Door: "native", RequestID: rq,
		EnqueuedTime: events.At(at), Verification: events.NotVerified, Description: "before migration"}
	wrong := &events.Failure{Code: events.StorageFull, Category: events.ByUser, Retryable: true,
		Message: "storage default has no space left: free some or point the instance to another storage"}
	ref := &events.ProviderRef{BackupName: "default:shop/orders-db/" + id + "/attempt-1/"}

	asked := base
	asked.MaxAttempts = 3
	enqueued := step(asked, events.Requested, 0, 1)
	running := step(lifecycle.Claim(enqueued, tick(), "ex-4f2a"), events.Started, 1, 2)
	percent, done, total := 40, int64(80<<20), int64(200<<20)
	p, err := events.NewProgress("bus.local", events.Progress{BackupID: id, Project: "shop", Provider: "sqlite", Instance: "orders-db",
		Attempt: 1, Ordinal: 1, Phase: events.Copying, Percent: &percent, BytesDone: &done, BytesTotal: &total},
		events.FormatSequence(2), at, events.Cause{CorrelationID: rq})
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, p)
	changed := running
	changed.ProviderRef, changed.Updates, changed.ChangedFields = ref, 1, []string{"providerRef"}
	changed = lifecycle.Amend(changed, events.Update{RequestTime: events.At(at), RequestID: rq}, func(*events.Backup) []string { return []string{"labels"} })
	changed = lifecycle.Amend(changed, events.Update{RequestTime: events.At(at), RequestID: rq}, func(*events.Backup) []string { return []string{"expireTime"} })
	step(changed, events.Updated, 3, 5)
	step(lifecycle.FailAttempt(running, wrong, tick().Add(time.Minute)), events.AttemptFailed, 1, 3)
	half := *ref
	half.LeftIn = []string{"offsite"}
	good := step(lifecycle.Complete(running, tick(), lifecycle.Outcome{Proof: events.ProofChecked, SizeBytes: 52 << 20,
		Kind: "PHYSICAL", EngineVersion: "3.50.4", ConsistencyTime: at, Ref: &half, Evidence: &events.Evidence{Copies: 1, Objects: 1},
		Copies: []events.Copy{{Storage: "default", State: events.CopyStored, Proof: events.ProofChecked, EndTime: events.At(at)},
			{Storage: "offsite", State: events.CopyFailed, EndTime: events.At(at), Error: wrong, Remains: true}},
		Checksum: &events.Checksum{Algorithm: "sha256", Value: strings.Repeat("0a", 32)}}), events.Succeeded, 1, 3)
	step(lifecycle.Fail(running, tick(), wrong, nil, false), events.Failed, 1, 3)
	stopping := step(lifecycle.AskCancel(running, events.Cancel{RequestTime: events.At(at), RequestID: rq, Reason: "wrong day"}), events.CancelRequested, 0, 3)
	step(lifecycle.Stop(stopping, tick(), nil, false), events.Cancelled, 0, 4)

	due := base
	due.Trigger, due.Door = events.Scheduled, "schedule"
	due.DueTime, due.WindowStartTime = events.At(at), events.At(at)
	late := due
	late.Overdue = &events.OverdueNote{SinceTime: events.At(at), LateByMs: 60_000}
	step(late, events.Overdue, 1, 1)
	idle := due
	idle.Skip = &events.Skip{Reason: "NO_CHANGES", Time: events.At(at), CoveredByBackupID: id}
	step(idle, events.Skipped, 0, 1)

	check := events.Check{Run: 1, Method: "CHECKSUM", Reason: "USER", RequestID: rq}
	toCheck := good
	toCheck.Check = &check
	toCheck = step(toCheck, events.VerificationRequested, 1, 4)
	seen := lifecycle.Checked{Bytes: 52 << 20, Evidence: events.Evidence{Copies: 1, Objects: 1, Tables: 14, Rows: 120_318}}
	passed := lifecycle.FinishCheck(toCheck, at, tick(), seen, nil)
	step(passed, events.Verified, 1, 5)
	broken := &events.Failure{Code: events.Corrupt, Category: events.BySystem, Message: "the stored object does not have its checksum: take a new backup"}
	step(lifecycle.FinishCheck(toCheck, at, tick(), lifecycle.Checked{}, broken), events.VerificationFailed, 1, 5)

	leaving := step(lifecycle.AskDeletion(good, events.Deletion{Cause: "USER", RequestTime: events.At(tick()), RequestID: rq}), events.DeletionRequested, 1, 4)
	step(lifecycle.Remove(leaving, tick(), 52<<20), events.Deleted, 0, 5)
	again := func(b events.Backup) events.Backup { // a second try: the first is remembered
		b, err := lifecycle.Advance(lifecycle.FailDeletion(b, tick(), wrong), events.DeletionFailed)
		if err != nil {
			t.Fatal(err)
		}
		b, err = lifecycle.Advance(lifecycle.AskDeletion(b, events.Deletion{Cause: "USER", RequestTime: events.At(tick()), RequestID: rq}), events.DeletionRequested)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	step(lifecycle.FailDeletion(again(leaving), tick(), wrong), events.DeletionFailed, 2, 7)

	rs, err := events.RestoreID("shop", origin)
	if err != nil {
		t.Fatal(err)
	}
	restored := func(r events.Restore, s events.Step, seq uint64) events.Restore {
		r, err := lifecycle.AdvanceRestore(r, s)
		if err != nil {
			t.Fatal(err)
		}
		emit(r, s, 0, seq)
		return r
	}
	r := restored(events.Restore{RestoreID: rs, BackupID: id, Project: "shop", Provider: "sqlite", Instance: "orders-db",
		IDs: events.RestoreIDs{Operation: events.OperationID(rs + "-requested")}, Door: "native", RequestID: rq,
		EnqueuedTime: events.At(tick()), Target: events.Target{Instance: "orders-copy"}}, events.Requested, 1)
	r = restored(lifecycle.ClaimRestore(r, tick(), "ex-4f2a"), events.Started, 2)
	if p, err = events.NewProgress("bus.local", events.Progress{RestoreID: rs, BackupID: id, Project: "shop", Provider: "sqlite", Instance: "orders-db",
		Ordinal: 1, Phase: events.Copying, Percent: &percent, BytesDone: &done, BytesTotal: &total}, events.FormatSequence(2), at, events.Cause{CorrelationID: rq}); err != nil {
		t.Fatal(err)
	}
	out = append(out, p)
	restored(lifecycle.CompleteRestore(r, tick(), 200<<20), events.Succeeded, 3)
	restored(lifecycle.FailRestore(r, tick(), wrong), events.Failed, 3)

	in, err := events.InstanceID("shop", "mysql", "orders-server")
	if err != nil {
		t.Fatal(err)
	}
	inst := events.Instance{Project: "shop", InstanceID: in, Provider: "mysql", Instance: "orders-server", Generation: 1, CreateTime: events.At(tick()),
		IDs: events.InstanceIDs{GaussDB: events.GaussInstanceID(in)},
		Config: events.InstanceConfig{Engine: "mariadb", EngineVersion: "10.11", Address: "db1.shop.internal:3306", User: "backup",
			TLS: &events.InstanceTLS{Mode: events.TLSVerifyFull, CAFile: "/etc/backupbus/shop-ca.pem"}, Method: events.MethodLogical,
			Storage: "default", EncryptTo: []string{"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"},
			Databases: []string{"orders", "invoices"}, CredentialRef: "file:/etc/backupbus/orders.cnf",
			Hooks: &events.InstanceHooks{Pre: "pause-jobs", Post: "resume-jobs"}, SuccessfulWhen: events.ProofChecked}}
	emit(inst, events.Registered, 1, 1)
	inst.Generation, inst.ChangedFields = 2, []string{"config.databases"}
	emit(inst, events.Updated, 2, 2)
	inst.Generation, inst.ChangedFields = 3, nil
	emit(inst, events.Deregistered, 3, 3)

	sc, err := events.ScheduleID("shop", "orders-server", "", events.Automated)
	if err != nil {
		t.Fatal(err)
	}
	plan := events.Schedule{Project: "shop", ScheduleID: sc, Name: events.Automated, Provider: "mysql", Instance: "orders-server", Generation: 1,
		Config: events.ScheduleConfig{Cron: "0 13 * * *", TimeZone: "Etc/UTC", WindowSeconds: 14_400, Missed: events.MissedOnce,
			Retention: &events.Retention{KeepLast: 7}, CloudSQL: &events.CloudSQLSettings{Location: "eu", TransactionLogRetentionDays: 7}},
		Changes: []events.ScheduleChange{{Step: events.Created, Generation: 1, Time: events.At(tick()), RequestID: rq}}}
	emit(plan, events.Created, 1, 1)
	plan.Generation, plan.ChangedFields, plan.Config.Paused = 2, []string{"config.paused"}, true
	plan.Changes = append(plan.Changes, events.ScheduleChange{Step: events.Updated, Generation: 2, Time: events.At(tick()), RequestID: rq})
	emit(plan, events.Updated, 2, 2)
	plan.Generation, plan.ChangedFields = 3, nil
	emit(plan, events.Deleted, 3, 3)

	command := events.Command{Type: events.CreateBackup.Type(), Source: "https://ops.example.com/cron/nightly", ID: "nightly-2026-01-15"}
	emit(events.AcceptedRequest{Project: "shop", RequestID: rq, Command: command.Type, CommandSource: command.Source, CommandID: command.ID,
		RequestDigest: "aa3d6dee241b253387c4a516a5ac53cd3becb547043d5c4a2d28e3e6e842afd1", BackupID: id, State: lifecycle.Enqueued}, events.Accepted, 0, 1)
	refusal := events.Rejection{Reason: events.SchemaViolation, Message: "data does not fit the schema of its type: mend what violations name and send it again",
		Violations: []events.Violation{{Path: "/data/instance", Rule: "required", Message: "is missing"}}}
	emit(refusal.Rejected("shop", rq, command), events.Rejected, 42, 1)

	su, err := events.SubscriptionID("shop", "pager")
	if err != nil {
		t.Fatal(err)
	}
	hook := events.Subscription{Project: "shop", SubscriptionID: su, Generation: 1, Status: "ACTIVE", SecretGeneration: 1,
		SinkOrigin: "https://hooks.example.com:443"}
	emit(hook, events.Created, 1, 1)
	hook.Generation, hook.SecretGeneration, hook.ChangedFields, hook.PreviousSecretExpireTime = 2, 2, []string{"secret"}, events.At(at.Add(24*time.Hour))
	emit(hook, events.Updated, 2, 2)
	hook.Generation, hook.Status, hook.Reason, hook.ChangedFields = 3, "FAILING", "FAILING", nil
	hook.FirstFailureTime, hook.LastSuccessTime = events.At(at.Add(time.Hour)), events.At(at)
	emit(hook, events.Failing, 3, 3)
	hook.Generation, hook.Status = 4, "DISABLED"
	emit(hook, events.Disabled, 4, 4)
	hook.Generation, hook.Reason = 5, ""
	emit(hook, events.Deleted, 5, 5)
	trial, err := events.New("bus.local", events.SubscriptionTest{Project: "shop", SubscriptionID: su, Message: "a test of this subscription",
		TestTime: events.At(at)}, events.Test, events.EventID(su, events.Subscriptions, events.Test, int(at.UnixMilli())), 0, at, events.Cause{})
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, trial)
	dl, err := events.DeliveryID(su, out[0].Source, out[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	emit(events.DeadDelivery{Project: "shop", DeliveryID: dl, SubscriptionID: su, SinkOrigin: "https://hooks.example.com:443",
		EventID: out[0].ID, EventType: out[0].Type, EventSource: out[0].Source, EventSequence: out[0].Sequence, Attempts: 12,
		FirstAttemptTime: events.At(at), LastAttemptTime: events.At(tick()), LastOutcome: "HTTP_ERROR", Reason: "EXHAUSTED", LastStatusCode: 500},
		events.DeadLettered, 0, 1)
	return out
}
