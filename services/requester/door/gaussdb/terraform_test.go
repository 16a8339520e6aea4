package gaussdb_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// terraform sends requests as the provider does (3.3): JSON with a line feed, some headers signed, others added after.
type terraform struct {
	t *testing.T
	p *pipelinetest.Pipeline
}

func (c terraform) do(method, path string, body, into any) int {
	c.t.Helper()
	text := ""
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		text = string(raw) + "\n"
	}
	r, err := http.NewRequest(method, c.p.URL+path, strings.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "HashiCorp Terraform/1.9 (+https://www.terraform.io)")
	signer{ak: ak, sk: sk, headers: []string{"accept", "content-type", "user-agent", "x-sdk-date"}}.sign(r, text, time.Now())
	r.Header.Set("X-Project-Id", project)
	r.Header.Set("X-Domain-Id", "0483b6b16e954cb88930a360d2c4e664")
	code, _, raw := c.p.CallHeaders(method, path, text, r.Header)
	if err := json.Unmarshal(raw, into); err != nil {
		c.t.Fatalf("%s %s: %d %s", method, path, code, raw)
	}
	return code
}

// all pages until a page is empty: first without limit and offset, then by the number that came.
func (c terraform) all(query string) []shown {
	c.t.Helper()
	var all []shown
	for page := path("backups") + "?" + query; ; {
		var l listed
		if code := c.do(http.MethodGet, page, nil, &l); code != http.StatusOK {
			c.t.Fatal(code)
		}
		if len(l.Backups) == 0 {
			return all
		}
		all = append(all, l.Backups...)
		page = fmt.Sprintf("%s?%s&offset=%d&limit=%d", path("backups"), query, len(all), len(l.Backups))
	}
}

// What the provider's backup resource does in its life: create and try again where the instance is busy, wait for
// exactly COMPLETED, read, delete with a body, and see at once that it is gone.
func TestTerraform_LifeOfABackupResource(t *testing.T) { // 4.2, 4.3, 5.2, 6; case 30
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sk")
	if err := os.WriteFile(file, []byte(sk), 0o600); err != nil {
		t.Fatal(err)
	}
	p := setup(t, settings{Access: access.Grants{{AccessKey: ak, SecretKeyRef: "file:" + file, Projects: []string{project}, Permissions: []string{"*"}}}}, "orders")
	c := terraform{t, p}
	ask := map[string]string{"instance_id": gaussID(t, project, "orders"), "name": "from_terraform", "description": "test"}
	var first, second created
	if code := c.do(http.MethodPost, path("backups", "create"), ask, &first); code != http.StatusCreated {
		t.Fatal(code)
	}
	var busy refusal
	if code := c.do(http.MethodPost, path("backups", "create"), ask, &busy); code != http.StatusConflict || busy.Code != "DBS.200047" { // of those that it tries again
		t.Fatal(code, busy)
	}
	status := func() string {
		var i struct{ Instance struct{ Status string } }
		c.do(http.MethodGet, path("instances", gaussID(t, project, "orders")), nil, &i)
		return i.Instance.Status
	}
	if s := status(); s != "BACKING UP" {
		t.Errorf("instance is %s", s)
	}
	if l := c.all("backup_id=" + first.Backup.ID); len(l) != 1 || l[0].Status != "BUILDING" {
		t.Errorf("%+v", l)
	}
	finish(t, p, first.Backup.ID, nil)
	if s := status(); s != "ACTIVE" {
		t.Errorf("instance is %s", s)
	}
	if l := c.all("backup_id=" + first.Backup.ID); len(l) != 1 || l[0].Status != "COMPLETED" || l[0].Name != "from_terraform" || l[0].Description != "test" {
		t.Errorf("%+v", l)
	}
	if code := c.do(http.MethodPost, path("backups", "create"), ask, &second); code != http.StatusCreated {
		t.Fatal(code)
	}
	finish(t, p, second.Backup.ID, nil)
	if l := c.all("name=from_terraform"); len(l) != 2 {
		t.Errorf("%+v", l)
	}
	var gone struct {
		ID string `json:"backup_id"`
	}
	if code := c.do(http.MethodDelete, path("backups", first.Backup.ID), map[string]string{}, &gone); code != http.StatusOK || gone.ID != first.Backup.ID {
		t.Errorf("%d %+v", code, gone)
	}
	if l := c.all("backup_id=" + first.Backup.ID); len(l) != 0 {
		t.Errorf("%+v", l)
	}
}
