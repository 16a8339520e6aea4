package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bus/commandtest"
)

// A program of a project asks over NATS, hears what became of it and reads its events; the backup is checked, restored and
// deleted. Everybody has the rights that nats-config prints, and asks for no others; the neighbour hears nothing.
func TestApart_AWholeLifeWithinItsRights(t *testing.T) {
	t.Parallel()
	a := startApart(t)
	a.apply(map[string]string{"db": newDatabase(t, 1), "spare": filepath.Join(t.TempDir(), "spare.db")})
	operator := []string{"--nats", a.nats.URL(), "--nats-credentials", a.nats.Key(bus.ProvisionUser)}
	a.must(append([]string{"events", "consumer", "create", "warehouse", "--from", "beginning"}, operator...)...)
	mine := commandtest.DialAs(t, a.nats.URL(), a.nats.Key("project-shop"), "shop")
	theirs := commandtest.DialAs(t, a.nats.URL(), a.nats.Key("project-other"), "other")
	heard, foreign := mine.Hear("backupbus.v1.reply.shop.x1"), theirs.Hear("backupbus.v1.event.other.>")

	mine.Send("backupbus.v1.command.shop._.db.backup.create", map[string][]string{
		"ce-specversion": {"1.0"}, "ce-type": {"dev.backupbus.command.backup.create.v1"}, "ce-source": {"/ops/cron"}, "ce-id": {"nightly-1"},
		"Backupbus-Reply-To": {"backupbus.v1.reply.shop.x1"},
	}, []byte(`{"instance":"db"}`))
	var outcome struct{ BackupID string }
	select {
	case m := <-heard:
		if err := json.Unmarshal(m.Data, &outcome); err != nil || outcome.BackupID == "" {
			t.Fatalf("%v in %s", err, m.Data)
		}
	case <-time.After(patience):
		t.Fatal("no outcome was heard")
	}
	if b := a.await(outcome.BackupID); b.State != "SUCCESSFUL" {
		t.Fatalf("%+v", b)
	}
	for _, step := range [][]string{{"backup", "verify", outcome.BackupID, "--wait"}, {"restore", "create", outcome.BackupID, "--to", "spare", "--wait"},
		{"backup", "delete", outcome.BackupID, "--wait"}} {
		a.must(step...)
	}
	var read []string
	for _, ev := range mine.Events("warehouse", 6) {
		read = append(read, strings.TrimPrefix(ev.Type(), "dev.backupbus."))
	}
	if read[0] != "instance.registered.v1" || read[2] != "backup.requested.v1" {
		t.Errorf("read %v", read)
	}
	if list := a.must(append([]string{"events", "consumer", "list"}, operator...)...); !strings.Contains(list, "warehouse") {
		t.Errorf("listed %q", list)
	}
	a.must("events", "tail", "--since", "10m", "-n", "6")
	select {
	case m := <-foreign:
		t.Errorf("the neighbour heard %s", m.Subject)
	default:
	}
}
