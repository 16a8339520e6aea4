package compat

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestOpenAPI_DescribesTheNotifiersPart: what the document says of subscriptions is what the notifier answers, through
// the requester's port; every operation of the document is there.
func TestOpenAPI_DescribesTheNotifiersPart(t *testing.T) {
	t.Parallel()
	server := startUp(t)
	call := func(method, path, body string) (int, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server+path, bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b
	}
	_, raw := call(http.MethodGet, "/api/openapi.json", "")
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	schemas := jsonschema.NewCompiler()
	if err := schemas.AddResource("mem:///openapi", doc); err != nil {
		t.Fatal(err)
	}
	conforms := func(name string, answer []byte) {
		t.Helper()
		s, err := schemas.Compile("mem:///openapi#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(answer))
		if err == nil {
			err = s.Validate(v)
		}
		if err != nil {
			t.Errorf("%s is no %s: %v", answer, name, err)
		}
	}
	const base = "/api/v1/projects/acme/subscriptions"
	const spec = `{"sink":"https://hooks.example.com/a?token=x","protocol":"HTTP","disabled":true,"types":["dev.backupbus.backup.failed.v1"],
		"filters":[{"sql":"severitynumber >= 13"}],"config":{"name":"pager"},"protocolsettings":{"signing":["v1","v1a"],"headers":{"X-Team":"ops"}}}`
	conforms("SubscriptionSpec", []byte(spec))
	code, made := call(http.MethodPost, base, spec)
	if code != http.StatusCreated {
		t.Fatalf("%d %s", code, made)
	}
	conforms("SubscriptionBody", made)
	var sub struct{ ID string }
	if err := json.Unmarshal(made, &sub); err != nil {
		t.Fatal(err)
	}
	for path, name := range map[string]string{"": "SubscriptionList", "/" + sub.ID: "SubscriptionBody", "/" + sub.ID + "/deliveries": "DeliveryList"} {
		code, answer := call(http.MethodGet, base+path, "")
		if code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, answer)
		}
		conforms(name, answer)
	}
	code, tested := call(http.MethodPost, base+"/"+sub.ID+":test", "")
	if code != http.StatusOK {
		t.Errorf("%d %s", code, tested)
	}
	conforms("DeliveryAttempt", tested)

	var paths struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(raw, &paths); err != nil {
		t.Fatal(err)
	}
	operations := 0
	for path, methods := range paths.Paths {
		if !strings.Contains(path, "/subscriptions") {
			continue
		}
		for method := range methods {
			operations++
			to := "/api" + strings.NewReplacer("{project}", "acme", "{subscription}", "su_aaaaaaaaaaaaaaaaaaaaaaaaaa").Replace(path)
			if code, answer := call(strings.ToUpper(method), to, "{}"); code == http.StatusMethodNotAllowed || strings.Contains(string(answer), "no such method") || code == http.StatusNotFound && !strings.Contains(string(answer), "subscription") {
				t.Errorf("%s %s is not there: %d %s", method, path, code, answer)
			}
		}
	}
	if operations != 9 {
		t.Errorf("%d operations", operations)
	}
}
