package intake_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/intake"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// What one project has, another cannot read or change, though it knows the ids and shares the shard of the view.
func TestProjects_DoNotReachEachOther(t *testing.T) {
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	p.Hand.Auto()
	state, err := p.Bus.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	evil := "evil"
	for n := 0; view.Shard(evil, state.ViewShards) != view.Shard("shop", state.ViewShards); n++ {
		evil = fmt.Sprintf("evil%d", n)
	}
	p.Register("shop", "orders")
	p.Register(evil, "orders")
	in := intake.New(p.Bus, p.View, time.Now, pipelinetest.Logger(t), intake.Config{Bus: p.Bus.Name(), Providers: []string{"sqlite"}})
	ctx := t.Context()
	r, err := in.Create(ctx, intake.Create{Caller: intake.Caller{Door: "native"}, Project: "shop", Instance: "orders", Description: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	id := r.Backup.BackupID
	p.Await("shop", id, events.Succeeded)
	b, err := in.Backup(ctx, "shop", id)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := in.Restore(ctx, intake.Restore{Caller: intake.Caller{Door: "native"}, Project: "shop", BackupID: id, Target: events.Target{Instance: "orders"}})
	if err != nil {
		t.Fatal(err)
	}
	p.Await("shop", rs.Restore.RestoreID, events.Failed) // the hand cannot restore
	before := len(p.Events("shop"))
	other := "theirs"
	change := intake.Change{Caller: intake.Caller{Door: "native"}, Project: evil, BackupID: id}
	for what, err := range map[string]error{
		"get":     second(in.Backup(ctx, evil, id)),
		"run":     second(in.BackupByCloudSQL(ctx, evil, "orders", b.IDs.CloudSQL)),
		"amend":   second(in.Amend(ctx, intake.Amend{Caller: change.Caller, Project: evil, BackupID: id, Description: &other})),
		"delete":  second(in.Delete(ctx, change)),
		"cancel":  second(in.Cancel(ctx, change)),
		"verify":  second(in.Verify(ctx, change, "")),
		"restore": second(in.Restore(ctx, intake.Restore{Caller: change.Caller, Project: evil, BackupID: id, Target: events.Target{Instance: "orders"}})),
	} {
		refused(t, what, err, intake.BackupNotFound)
	}
	refused(t, "restore by id", second(in.RestoreByID(ctx, evil, rs.Restore.RestoreID)), intake.RestoreNotFound)
	refused(t, "operation", second(in.Operation(ctx, evil, b.IDs.Operation)), intake.OperationNotFound)
	if _, known := in.Progress(ctx, events.Backup{Project: evil, BackupID: id, Attempt: b.Attempt}); known {
		t.Error("the progress of another project is shown")
	}
	if n := len(p.Events("shop")); n != before {
		t.Errorf("%d events came of it", n-before)
	}
	for _, path := range []string{"/backups/" + id, "/restores/" + rs.Restore.RestoreID} {
		if code, body := p.Call("GET", "/api/v1/projects/"+evil+path, ""); code != 404 {
			t.Errorf("GET %s: %d %s", path, code, body)
		}
	}
}

func second[A any](_ A, err error) error { return err }
