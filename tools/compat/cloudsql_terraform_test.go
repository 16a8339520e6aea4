package compat

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The calls that the Terraform provider makes to change an instance (cloudsql.md 12): GET, PUT of the full
// settings with their settingsVersion, poll, GET. A stale settingsVersion is refused (case 31 of C).
func TestCloudSQL_TerraformUpdate(t *testing.T) {
	t.Parallel()
	server := startUp(t)
	register(t, server, "orders")
	url := server + "/sql/v1beta4/projects/acme/instances/orders"
	_, stale := call(t, http.MethodGet, url, nil)
	settings := stale["settings"].(map[string]any)
	backups := settings["backupConfiguration"].(map[string]any)
	backups["enabled"], backups["startTime"], backups["location"] = true, "13:00", "eu"
	backups["backupRetentionSettings"] = map[string]any{"retentionUnit": "COUNT", "retainedBackups": 9}
	code, op := call(t, http.MethodPut, url, stale)
	if code != http.StatusOK || op["operationType"] != "UPDATE" {
		t.Fatalf("PUT: %d %v", code, op)
	}
	late := time.After(patience)
	for op["status"] != "DONE" {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-late:
			t.Fatalf("the update does not end: %v", op)
		}
		_, op = call(t, http.MethodGet, op["selfLink"].(string), nil)
	}
	if op["error"] != nil {
		t.Fatalf("the update failed: %v", op)
	}
	_, now := call(t, http.MethodGet, url, nil)
	got := now["settings"].(map[string]any)
	if got["settingsVersion"] == settings["settingsVersion"] {
		t.Errorf("settingsVersion is %v still", got["settingsVersion"])
	}
	for _, name := range []string{"enabled", "startTime", "location", "backupRetentionSettings"} {
		want, err := json.Marshal(backups[name])
		if err != nil {
			t.Fatal(err)
		}
		is, err := json.Marshal(got["backupConfiguration"].(map[string]any)[name])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(is)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	backups["enabled"] = false
	code, refusal := call(t, http.MethodPut, url, stale) // the version that was read first
	want := map[string]any{"message": "Condition does not match.", "domain": "global", "reason": "staleData",
		"locationType": "header", "location": "If-Match"}
	e, _ := refusal["error"].(map[string]any)
	if diff := cmp.Diff([]any{want}, e["errors"]); code != http.StatusPreconditionFailed || diff != "" {
		t.Errorf("PUT of a stale version: %d %v\n%s", code, refusal, diff)
	}
	_, after := call(t, http.MethodGet, url, nil)
	if diff := cmp.Diff(now, after); diff != "" {
		t.Errorf("a refused PUT changed the instance:\n%s", diff)
	}
}

// call sends and reads JSON.
func call(t *testing.T, method, url string, body any) (int, map[string]any) {
	t.Helper()
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, &sent)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: %s: %v", method, url, resp.Status, err)
	}
	return resp.StatusCode, answer
}
