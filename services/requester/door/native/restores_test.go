package native_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// halfway restores to 40 of 100 bytes, and the rest when it may.
type halfway struct {
	*pipelinetest.Hand
	on <-chan struct{}
}

func (h halfway) Restore(ctx context.Context, j executor.RestoreJob) (int64, error) {
	j.Report(executor.Progress{Phase: events.Copying, BytesDone: 40, BytesTotal: 100})
	select {
	case <-h.on:
		return 100, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func TestRestore_ShowsItsProgressWhileItRuns(t *testing.T) {
	t.Parallel()
	on := make(chan struct{})
	hand := pipelinetest.NewHand().Auto()
	p := pipelinetest.Start(t, pipelinetest.Options{Providers: []executors.Provider{{
		Name: "sqlite", Capabilities: executor.Capabilities{PollEvery: 20 * time.Millisecond},
		Open: func(context.Context, executors.Shared) (executors.Opened, error) { return halfway{hand, on}, nil },
	}}})
	p.Register("shop", "orders")
	p.Register("shop", "copy")
	id := take(t, p, "orders")
	s := listen(t, p, "progress=true&type=restore.*", "")
	s.next()
	asked := pipelinetest.JSON[struct {
		RestoreID string `json:"restoreId"`
	}](p, http.MethodPost, base+"/backups/"+id+":restore", `{"target":{"instance":"copy"}}`)
	seen := s.next()
	for seen.Event == "dev.backupbus.restore.requested.v1" || seen.Event == "dev.backupbus.restore.started.v1" {
		seen = s.next()
	}
	var ev struct{ Data events.Progress }
	if err := json.Unmarshal([]byte(seen.Data), &ev); err != nil || seen.Event != "dev.backupbus.restore.progress.v1" || seen.ID != "" ||
		ev.Data.RestoreID != asked.RestoreID || ev.Data.BackupID != id || *ev.Data.Percent != 40 {
		t.Errorf("%+v, %v", seen, err)
	}
	type answer struct {
		State    string `json:"state"`
		Progress *struct {
			Phase      string `json:"phase"`
			Percent    int    `json:"percent"`
			BytesTotal int64  `json:"bytesTotal"`
		} `json:"progress"`
	}
	look := func() answer {
		return pipelinetest.JSON[answer](p, http.MethodGet, base+"/restores/"+asked.RestoreID, "")
	}
	until := func(what string, is func(answer) bool) (now answer) { // the view follows the stream
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(pipelinetest.Patience); ; <-tick.C {
			if now = look(); is(now) {
				return now
			}
			if time.Now().After(end) {
				t.Fatalf("never %s: %+v", what, now)
			}
		}
	}
	now := until("progress", func(a answer) bool { return a.Progress != nil })
	if now.State != string(lifecycle.Running) || now.Progress == nil || now.Progress.Phase != events.Copying || now.Progress.Percent != 40 || now.Progress.BytesTotal != 100 {
		t.Fatalf("%+v", now)
	}
	close(on)
	for seen.Event != "dev.backupbus.restore.succeeded.v1" {
		seen = s.next()
	}
	if now = until("an end", func(a answer) bool { return a.State == string(lifecycle.Successful) }); now.Progress != nil {
		t.Errorf("after its end: %+v", now)
	}
}
