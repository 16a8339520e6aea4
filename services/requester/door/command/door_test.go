package command_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
)

// Cases R1 and E6: the event that decides, then the acceptance; both name command, request and trace.
func TestR1_ACreateCommandIsDoneThenAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders.db")
	b.Hand.Auto()
	trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	b.Send("backupbus.v1.command.shop._.orders~2Edb.backup.create", headers("nightly/1", events.CreateBackup, "ce-traceparent", trace), []byte(`{"instance":"orders.db"}`))
	out := b.outcomes(1)[0]
	a := b.accepted(out)
	if a.Repeat || a.State != "ENQUEUED" && a.State != "RUNNING" && a.State != "SUCCESSFUL" || a.Command != events.CreateBackup.Type() || a.CommandSource != source || a.CommandID != "nightly/1" || len(a.RequestDigest) != 64 {
		t.Errorf("%+v", a)
	}
	b.Await("shop", a.BackupID, events.Succeeded)
	for _, s := range b.Events("shop") {
		if s.Entity() == events.Instances {
			continue
		}
		if s.TraceParent != trace || s.CorrelationID != a.RequestID {
			t.Errorf("%s: trace %q, correlation %q", s.ID, s.TraceParent, s.CorrelationID)
		}
		if first := s.Step() == events.Requested || s.Step() == events.Accepted; first && s.CausationID != "nightly~2F1" {
			t.Errorf("%s: causation %q", s.ID, s.CausationID)
		}
		if s.Step() == events.Requested {
			if s.Seq > out.Seq {
				t.Error("accepted before it was done")
			}
			if r := decode[events.Backup](t, s.Data); r.Door != "bus" || r.RequestID != a.RequestID || r.RequestDigest != a.RequestDigest {
				t.Errorf("%+v", r)
			}
		}
	}
}

// Case E2, of commands: the ids of events.md 1.4, over either way in.
func TestE2_TheIDsOfTheContract(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders-db")
	b.create("nightly-2026-01-15", "orders-db")
	if a := b.accepted(b.outcomes(1)[0]); a.RequestID != "rq_plzjtrhp2jm424uw5tkhrkkx6u" || a.BackupID != "bk_oa2dry5sym5ypupjn6gheq6nlr" {
		t.Errorf("%+v", a)
	}
}

// Case R2.
func TestR2_TheSameCommandFiveTimesAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders")
	replies := b.Hear("backupbus.v1.reply.shop.>")
	for range 5 {
		go b.create("same", "orders", "Backupbus-Reply-To", "backupbus.v1.reply.shop.x")
	}
	backups, repeats := map[string]bool{}, 0
	for range 5 {
		a := decode[events.AcceptedRequest](t, (<-replies).Data)
		backups[a.BackupID] = true
		if a.Repeat {
			repeats++
		}
	}
	if len(backups) != 1 || repeats != 4 || b.count("backup.requested") != 1 || b.count("request.accepted") != 1 || b.count("request.rejected") != 0 {
		t.Errorf("backups %v, %d repeats, %d requested, %d accepted", backups, repeats, b.count("backup.requested"), b.count("request.accepted"))
	}
}

// Case R3: the first request is untouched, and so is what was told of it.
func TestR3_TheSameIDWithOtherContent(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders", "users")
	b.create("one", "orders")
	first := b.accepted(b.outcomes(1)[0])
	b.create("one", "users")
	b.Send(on("orders", events.CancelBackup), headers("one", events.CancelBackup), []byte(`{"backupId":"`+first.BackupID+`"}`))
	b.quiet()
	for _, s := range b.outcomes(3)[1:] {
		r := b.rejected(s, "IDEMPOTENCY_CONFLICT")
		if r.ExistingBackupID != first.BackupID || r.Retryable || r.RequestID == first.RequestID || r.CommandID != "one" {
			t.Errorf("%+v", r)
		}
	}
	if b.count("backup.requested") != 1 || b.count("backup.cancel_requested") != 0 {
		t.Error("something was done")
	}
}

// Case R4, first half: what is no CloudEvent ends among the dead letters, and its sender's project is told.
func TestR4_NoCloudEvent(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders")
	b.Send(on("orders", events.CreateBackup), nil, []byte(`hello`))
	r := b.rejected(b.outcomes(1)[0], events.MalformedEvent)
	if want, _ := events.MalformedRequestID(bus.CommandStream, 1); r.RequestID != want || r.CommandID != "" {
		t.Errorf("%+v", r)
	}
	dead := b.NATS.DeadLetters(t, 1)[0]
	if dead.Subject != "backupbus.v1.deadletter.requester._.unreadable" || string(dead.Data) != "hello" {
		t.Errorf("%s %s", dead.Subject, dead.Data)
	}
	b.Send("backupbus.v1.command._.x", nil, []byte(`hello`)) // a project that nobody can be told of
	b.NATS.DeadLetters(t, 2)
	b.quiet()
	if n := b.count("request.rejected"); n != 1 {
		t.Errorf("%d rejections", n)
	}
}

// Case R4, second half.
func TestR4_ThreeViolations(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders")
	b.Send(on("orders", events.CreateBackup), headers("bad", events.CreateBackup), []byte(`{"name":4711,"labels":{"Team 4711":""},"location":"Z4711"}`))
	s := b.outcomes(1)[0]
	if r := b.rejected(s, events.SchemaViolation); len(r.Violations) != 4 || r.Violations[0].Path != "/data/instance" || strings.Contains(string(s.Data), "4711") {
		t.Errorf("%s", s.Data)
	}
}

// Case R5.
func TestR5_RepliesGoToTheProjectsOwnSubjects(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders")
	all := b.Hear("backupbus.v1.reply.>")
	subjects := []string{"backupbus.v1.reply.other.x1", "backupbus.v1.reply.shop.*", "backupbus.v1.reply.shop", "backupbus.v1.reply.shop.", "backupbus.v1.reply.shop.a..b",
		"backupbus.v1.event.shop.x", "backupbus.v1.reply.shop." + strings.Repeat("x", 256), "backupbus.v1.reply.shop.x1"}
	for i, to := range subjects {
		b.create(fmt.Sprint(i), "orders", "backupbus-reply-to", to)
		b.outcomes(i + 1)
	}
	m := <-all
	out := b.outcomes(len(subjects))[len(subjects)-1]
	copied, err := events.Parse(m.Header, m.Data)
	if err != nil || m.Subject != "backupbus.v1.reply.shop.x1" || copied.ID != out.ID || copied.CausationID != fmt.Sprint(len(subjects)-1) || string(m.Data) != string(out.Data) {
		t.Errorf("%s %+v %v", m.Subject, copied, err)
	}
	select {
	case m := <-all:
		t.Errorf("a copy went to %s", m.Subject)
	default:
	}
}

// Case R6.
func TestR6_ACommandPastItsExpiryStartsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders")
	b.create("late", "orders", "ce-expirytime", time.Now().Add(-time.Second).UTC().Format(time.RFC3339))
	b.create("soon", "orders", "ce-expirytime", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	for _, s := range b.outcomes(2) {
		if s.CausationID == "late" {
			b.rejected(s, events.Expired)
			continue
		}
		b.accepted(s)
	}
	if b.count("backup.requested") != 1 {
		t.Error("the late one was started")
	}
}

// Case R7.
func TestR7_ABusyInstanceThenTheSameIDAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders")
	b.create("first", "orders")
	first := b.accepted(b.outcomes(1)[0])
	b.create("second", "orders")
	r := b.rejected(b.outcomes(2)[1], "PENDING_BACKUP_EXISTS")
	if !r.Retryable || r.ExistingBackupID != first.BackupID {
		t.Errorf("%+v", r)
	}
	b.Hand.Auto()
	b.Await("shop", first.BackupID, events.Succeeded)
	b.create("second", "orders")
	if a := b.accepted(b.outcomes(3)[2]); a.RequestID != r.RequestID || a.BackupID == first.BackupID || a.Repeat {
		t.Errorf("%+v", a)
	}
}

// Case R9: doors that answer their caller append no request.*. The schedule's own door is R8's (package schedule).
func TestR9_OtherDoorsTellOfNoRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders", "users", "stock")
	b.Call(http.MethodPost, "/api/v1/projects/shop/backups", `{"instance":"orders"}`)
	b.Call(http.MethodPost, "/v1/projects/shop/instances/users/backupRuns", `{}`)
	b.create("bus", "stock")
	b.outcomes(1)
	doors := map[string]int{}
	for _, s := range b.Events("shop") {
		if s.Step() == events.Requested {
			doors[decode[events.Backup](t, s.Data).Door]++
		}
	}
	if doors["native"] != 1 || doors["cloudsql"] != 1 || doors["bus"] != 1 || b.count("request.accepted") != 1 {
		t.Errorf("doors %v", doors)
	}
}

// Case R12: the requester goes between the two events; the one that comes after it tells of what was done.
func TestR12_KilledBetweenTheTwoEvents(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders")
	lost := b.NATS.Faults.Drop(1, bustest.Published(events.EventRoot+".shop._._.request"))
	b.create("one", "orders")
	<-lost.Hit()
	b.Requester.Stop()
	if b.count("backup.requested") != 1 || b.count("request.accepted") != 0 {
		t.Fatalf("%d requested, %d accepted", b.count("backup.requested"), b.count("request.accepted"))
	}
	b.Requester.Start()
	if a := b.accepted(b.outcomes(1)[0]); a.Repeat {
		t.Errorf("%+v", a)
	}
	b.quiet()
	if b.count("backup.requested") != 1 || b.count("request.accepted") != 1 {
		t.Errorf("%d requested, %d accepted", b.count("backup.requested"), b.count("request.accepted"))
	}
}

// Case E9: the key is in no stream and no view.
func TestE9_AKeyInADescriptionIsNowhere(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders")
	key := `-----BEGIN RSA PRIVATE KEY-----\nMIIEow4711\n-----END RSA PRIVATE KEY-----`
	b.Send(on("orders", events.CreateBackup), headers("leaky", events.CreateBackup, "X-Note", "password=MIIEow4711"), []byte(`{"instance":"orders","description":"`+key+`"}`))
	b.Send(on("orders", events.CreateBackup), map[string][]string{"content-type": {"application/cloudevents+json"}},
		[]byte(`{"specversion":"1.0","id":"leaky2","source":"/x","type":"`+events.CreateBackup.Type()+`","data":{"instance":"orders","description":"`+key+`"}}`))
	b.Send(on("orders", events.CreateBackup), nil, []byte(`no event: `+key))
	// Attributes are escaped on the wire, and JSON may be; what they say counts.
	line := "-----BEGIN%20RSA%20PRIVATE%20KEY-----MIIEow4711-----END%20RSA%20PRIVATE%20KEY-----"
	good := []byte(`{"instance":"orders"}`)
	b.Send(on("orders", events.CreateBackup), headers("escaped1", events.CreateBackup, "ce-note", "password%3DMIIEow4711"), good)
	b.Send(on("orders", events.CreateBackup), headers("escaped2", events.CreateBackup, "ce-note", line), good)
	b.Send(on("orders", events.CreateBackup), headers("escaped3", events.CreateBackup, "ce-note", strings.ReplaceAll(line, "-----M", "-----%0AM")), good)
	b.Send(on("orders", events.CreateBackup), map[string][]string{"content-type": {"application/cloudevents+json"}},
		[]byte(`{"specversion":"1.0","id":"escaped4","source":"/x","type":"`+events.CreateBackup.Type()+`","note":"p\u0061ssword=MIIEow4711","data":{"instance":"orders"}}`))
	reasons := map[string]int{}
	for _, s := range b.outcomes(7) {
		reasons[decode[events.RejectedRequest](t, s.Data).Reason]++
	}
	if reasons[events.ForbiddenContent] < 5 || reasons[events.ForbiddenContent]+reasons[events.MalformedEvent] != 7 {
		t.Errorf("%v", reasons)
	}
	ids := map[string]bool{}
	for _, dead := range b.NATS.DeadLetters(t, 7) {
		if !strings.HasPrefix(string(dead.Data), "sha256:") {
			t.Errorf("%s: %s", dead.Subject, dead.Data)
		}
		for name, v := range dead.Header {
			if strings.EqualFold(name, "ce-id") {
				ids[v[0]] = true
			}
		}
	}
	b.quiet()
	if where := b.holds("4711"); len(where) > 0 || !ids["leaky"] || !ids["leaky2"] {
		t.Errorf("the key is in %v; ids %v", where, ids)
	}
}
