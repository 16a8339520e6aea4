package remote

import (
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/requester"
)

// The faults of an S3 server as the whole pipeline sees them: each backup ends once, with a reason for people, and what
// is in the bucket is a whole copy or nothing.
func TestPipeline_OnAFaultyS3Server(t *testing.T) {
	t.Parallel()
	again := func(code events.Code) []string {
		return []string{"requested", "started", "attempt_failed " + string(code), "started", "failed " + string(code)}
	}
	whole := []string{"requested", "started", "succeeded"}
	part := func(r *http.Request) bool { return r.Method == http.MethodPut && r.ContentLength > 1<<20 }
	for name, c := range map[string]struct {
		fault func() func(http.ResponseWriter, *http.Request) bool
		stall time.Duration // 0: the default
		steps []string
		want  *events.Failure
	}{
		"it answers 500 and recovers": {func() func(http.ResponseWriter, *http.Request) bool {
			var seen sync.Map
			return func(w http.ResponseWriter, r *http.Request) bool {
				if _, known := seen.LoadOrStore(r.Method+r.URL.String(), true); known || r.Method != http.MethodPut {
					return false
				}
				w.WriteHeader(http.StatusInternalServerError)
				return true
			}
		}, 0, whole, nil},
		"it is slow": {func() func(http.ResponseWriter, *http.Request) bool {
			return func(_ http.ResponseWriter, r *http.Request) bool {
				if part(r) {
					<-time.After(500 * time.Millisecond)
				}
				return false
			}
		}, 10 * time.Second, whole, nil},
		"it takes half of every part": {func() func(http.ResponseWriter, *http.Request) bool {
			return func(_ http.ResponseWriter, r *http.Request) bool {
				if !part(r) {
					return false
				}
				_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
				panic(http.ErrAbortHandler)
			}
		}, 0, again(events.ProviderUnavailable), &events.Failure{Code: events.ProviderUnavailable, Category: events.BySystem, Retryable: true,
			Message: `storage "default" could not be used: see that it is there and healthy`}},
		"it hangs": {func() func(http.ResponseWriter, *http.Request) bool {
			return func(_ http.ResponseWriter, r *http.Request) bool {
				if !part(r) {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				panic(http.ErrAbortHandler)
			}
		}, 3 * time.Second, again(events.DeadlineExceeded), &events.Failure{Code: events.DeadlineExceeded, Category: events.BySystem, Retryable: true,
			Message: "no progress for 3s: it was stopped; see whether the server, a lock there or the storage holds it up"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.broken(c.fault())
			p := pipelinetest.Start(t, pipelinetest.Options{Engines: true, Openers: Openers(), Log: executortest.Guard(t),
				Executors: executors.Config{Storages: map[string]string{"default": s.url("")}, StallAfter: c.stall},
				Requester: requester.Config{MaxAttempts: 2, Providers: []string{"sqlite"}}})
			p.RegisterAs("shop", "orders", "sqlite", config(t))
			id := pipelinetest.JSON[struct {
				BackupID string `json:"backupId"`
			}](p, http.MethodPost, "/api/v1/projects/shop/backups", `{"instance":"orders"}`).BackupID
			p.Await("shop", id, events.Succeeded, events.Failed, events.Cancelled)
			p.Executors.Stop()
			var steps []string
			var last events.Backup
			for _, ev := range p.Events("shop") {
				executortest.Unseen(t, "the event "+ev.ID, ev.Data)
				if ev.PartitionKey != id {
					continue
				}
				var err error
				if last, err = events.Decode[events.Backup](ev.Event); err != nil {
					t.Fatal(err)
				}
				step := string(ev.Step())
				if last.Error != nil {
					step += " " + string(last.Error.Code)
				}
				steps = append(steps, step)
			}
			if diff := cmp.Diff(c.steps, steps); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.want, last.Error); diff != "" {
				t.Error(diff)
			}
			if left := s.stored(t); (left == "") != (c.want != nil) {
				t.Errorf("in the bucket: %q", left)
			}
		})
	}
}

// config is an instance of a file of some 20 MB that do not compress.
func config(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "orders.db")
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{"CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, randomblob(1000) FROM n"} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(events.InstanceConfig{Engine: "sqlite", File: file})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
