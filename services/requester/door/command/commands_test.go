package command_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	ce "github.com/cloudevents/sdk-go/v2/event"

	"github.com/backupbus/backupbus/events"
)

// Everything a command may ask for, over the CloudEvents SDK.
func TestCommands_OfEveryVerbFromTheSDK(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders", "copy")
	sent := 0
	send := func(v events.Verb, data map[string]any) events.AcceptedRequest {
		t.Helper()
		ev := ce.New()
		ev.SetID(fmt.Sprintf("%s-%d ü", v, sent))
		ev.SetSource(source)
		ev.SetType(v.Type())
		ev.SetExtension("expirytime", time.Now().Add(time.Hour))
		if err := ev.SetData("application/json", data); err != nil {
			t.Fatal(err)
		}
		b.SendEvent(on("orders", v), ev, sent%2 == 1)
		sent++
		a := b.accepted(b.outcomes(sent)[sent-1])
		if a.CommandID != ev.ID() {
			t.Errorf("command %q, want %q", a.CommandID, ev.ID())
		}
		return a
	}
	cancelled := send(events.CreateBackup, map[string]any{"instance": "orders", "provider": "sqlite", "labels": map[string]string{"team": "core"}})
	if a := send(events.CancelBackup, map[string]any{"backupId": cancelled.BackupID, "reason": "wrong one"}); a.BackupID != cancelled.BackupID {
		t.Errorf("%+v", a)
	}
	b.Await("shop", cancelled.BackupID, events.Cancelled)
	b.Hand.Auto()
	good := send(events.CreateBackup, map[string]any{"instance": "orders"})
	b.Await("shop", good.BackupID, events.Succeeded)
	if a := send(events.RestoreBackup, map[string]any{"backupId": good.BackupID, "target": map[string]any{"instance": "copy"}}); a.RestoreID == "" || a.State == "" {
		t.Errorf("%+v", a)
	}
	send(events.VerifyBackup, map[string]any{"backupId": good.BackupID})
	if b.count("backup.verification_requested") != 1 || b.count("restore.requested") != 1 {
		t.Error("not asked for")
	}
	other := send(events.CreateBackup, map[string]any{"instance": "orders"})
	b.Await("shop", other.BackupID, events.Succeeded)
	if a := send(events.DeleteBackup, map[string]any{"backupId": other.BackupID, "reason": "not needed"}); a.BackupID != other.BackupID {
		t.Errorf("%+v", a)
	}
	b.Await("shop", other.BackupID, events.Deleted)
}

// Project and instance of the subject win, whatever attributes and data say.
func TestCommands_OnTheWrongSubject(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders", "users")
	b.Hand.Auto()
	b.create("0", "orders")
	good := b.accepted(b.outcomes(1)[0])
	b.Await("shop", good.BackupID, events.Succeeded)
	cases := []struct {
		subject string
		header  map[string][]string
		body    string
		reason  string
	}{
		{on("users", "create"), headers("1", "create"), `{"instance":"orders"}`, events.SubjectMismatch},
		{on("orders", "delete"), headers("2", "create"), `{"instance":"orders"}`, events.SubjectMismatch},
		{on("orders", "create"), headers("3", "create", "ce-project", "other"), `{"instance":"orders"}`, events.SubjectMismatch},
		{on("orders", "create"), headers("4", "create", "ce-instance", "users"), `{"instance":"orders"}`, events.SubjectMismatch},
		{"backupbus.v1.command.shop.mysql.orders.backup.create", headers("5", "create"), `{"instance":"orders","provider":"sqlite"}`, events.SubjectMismatch},
		{"backupbus.v1.command.shop.mysql.orders.backup.create", headers("6", "create"), `{"instance":"orders"}`, "INSTANCE_NOT_FOUND"},
		{on("users", "delete"), headers("7", "delete"), `{"backupId":"` + good.BackupID + `"}`, events.SubjectMismatch},
		{"backupbus.v1.command.shop.orders.create", headers("8", "create"), `{"instance":"orders"}`, events.SubjectMismatch},
		{on("nobody", "create"), headers("9", "create"), `{"instance":"nobody"}`, "INSTANCE_NOT_FOUND"},
		{on("orders", "cancel"), headers("10", "cancel"), `{"backupId":"` + good.BackupID + `"}`, "NOT_CANCELLABLE"},
		{on("orders", "cancel"), headers("11", "cancel"), `{"backupId":"bk_aaaaaaaaaaaaaaaaaaaaaaaaaa"}`, "BACKUP_NOT_FOUND"},
		{on("orders", "verify"), headers("12", "verify"), `{"backupId":"` + good.BackupID + `","method":"GUESS"}`, events.SchemaViolation},
		{on("orders", "create"), headers("13", "create", "ce-type", "dev.backupbus.backup.succeeded.v1"), `{"instance":"orders"}`, events.UnsupportedType},
		{on("orders", "create"), headers("14", "create"), `{"instance":"orders","project":"other"}`, events.SubjectMismatch},
		{on("orders", "verify"), headers("15", "verify"), `{"backupId":"` + good.BackupID + `","instance":"users"}`, events.SubjectMismatch},
	}
	for i, c := range cases {
		b.Send(c.subject, c.header, []byte(c.body))
		b.rejected(b.outcomes(i + 2)[i+1], c.reason)
	}
	if b.count("backup.requested") != 1 || b.count("backup.deletion_requested") != 0 {
		t.Error("something was done")
	}
}

// A project whose name has no way back from its token is known by its events.
func TestCommands_OfAProjectWithALongName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("x", 90)
	token, err := events.Token(long)
	if err != nil {
		t.Fatal(err)
	}
	b.Send("backupbus.v1.command."+token+"._.orders.backup.create", headers("1", events.CreateBackup), []byte(`{"instance":"orders"}`))
	b.NATS.DeadLetters(t, 1) // nobody knows it yet
	b.Register(long, "orders")
	replies := b.Hear("backupbus.v1.reply." + token + ".x")
	b.Send("backupbus.v1.command."+token+"._.orders.backup.create", headers("1", events.CreateBackup, "Backupbus-Reply-To", "backupbus.v1.reply."+token+".x"), []byte(`{"instance":"orders"}`))
	if a := decode[events.AcceptedRequest](t, (<-replies).Data); a.Project != long || a.BackupID == "" {
		t.Errorf("%+v", a)
	}
}

func TestCommands_TwoHundredAtOnce(t *testing.T) {
	t.Parallel()
	const n = 200
	b := setup(t)
	b.Hand.Auto()
	for i := range 20 {
		b.Register("shop", fmt.Sprint("db", i))
	}
	start := time.Now()
	for i := range n {
		go b.create(fmt.Sprint("c", i), fmt.Sprint("db", i%20))
	}
	seen := map[string]int{}
	for _, s := range b.outcomes(n) {
		seen[s.CausationID]++
		if s.Step() == events.Rejected {
			b.rejected(s, "PENDING_BACKUP_EXISTS")
		}
	}
	t.Logf("%d outcomes in %s", n, time.Since(start))
	b.quiet()
	if len(seen) != n || b.count("request.accepted") != b.count("backup.requested") || len(b.outcomes(n)) != n {
		t.Errorf("%d outcomes, %d accepted, %d requested", len(seen), b.count("request.accepted"), b.count("backup.requested"))
	}
}
