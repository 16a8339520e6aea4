package spanner_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/door/spanner"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Operations are listed for seven days after their end (case 39).
func TestTime_OperationsAreForgotten(t *testing.T) {
	t.Parallel()
	w := setup(t)
	name := w.ready(parent, "b1", "db").GetName()
	running := w.create(parent, "b2", "db2").GetName()
	for days, there := range map[int]bool{6: true, 8: false, 60: false} {
		now := func() time.Time { return time.Now().Add(time.Duration(days) * 24 * time.Hour) }
		door, err := spanner.New(intake.New(w.Bus, w.View, now, pipelinetest.Logger(t), intake.Config{}), nil, now, pipelinetest.Logger(t))
		if err != nil {
			t.Fatal(err)
		}
		get := func(path string) (int, string) {
			rec := httptest.NewRecorder()
			door.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/"+path, nil))
			return rec.Code, rec.Body.String()
		}
		for _, list := range []string{parent + "/backupOperations", parent + "/backups/b1/operations"} {
			if _, body := get(list); strings.Contains(body, name) != there {
				t.Errorf("after %d days %s: %s", days, list, body)
			}
		}
		if _, body := get(parent + "/backupOperations"); !strings.Contains(body, running) { // however long it runs
			t.Errorf("after %d days the running one: %s", days, body)
		}
		if code, body := get(name); (code == http.StatusOK) != there {
			t.Errorf("after %d days: %d %s", days, code, body)
		}
		if code, body := get(running); code != http.StatusOK { // pending ones are never forgotten
			t.Errorf("after %d days: %d %s", days, code, body)
		}
		if _, body := get(parent + "/backups/b1"); !strings.Contains(body, "READY") { // expiry is the scheduler's
			t.Errorf("after %d days the backup: %s", days, body)
		}
	}
}
