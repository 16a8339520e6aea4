package compat

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	gaussdb "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/gaussdb/v3"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/gaussdb/v3/model"

	"github.com/backupbus/backupbus/events"
)

// Made-up keys: of the project acme, and of another one.
const (
	gaussAK, gaussSK           = "BBCOMPATACCESSKEY001", "bbCompatSecretKey0123456789abcdefGHIJKLM"
	gaussOtherAK, gaussOtherSK = "BBCOMPATACCESSKEY002", "bbCompatSecretKeyABCDEFGHIJ0123456789klm"
)

// startGauss runs everything with keys for the GaussDB door, and gives an address in front of it that notes paths.
func startGauss(t *testing.T) (server string, seen *recorded) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	settings := write("settings.yaml", fmt.Sprintf(`
access:
  - {accessKey: %s, secretKeyRef: "file:%s", projects: [acme], region: cn-north-4, permissions: ["*"]}
  - {accessKey: %s, secretKeyRef: "file:%s", projects: [other], permissions: ["gaussdb:*"]}
  - {tokenRef: "file:%s", projects: [acme], permissions: ["*"]}
`, gaussAK, write("one", gaussSK), gaussOtherAK, write("two", gaussOtherSK), write("three", ownToken)))
	server = startUpWith(t, settings)
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	seen = &recorded{}
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		seen.add(r.In)
		r.SetURL(to)
		r.Out.Host = r.In.Host
		r.Out.URL.RawQuery = r.In.URL.RawQuery // as it was signed
	}})
	t.Cleanup(front.Close)
	seen.front = front.URL
	return server, seen
}

type recorded struct {
	front string
	mu    sync.Mutex
	paths []string
}

func (r *recorded) add(req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = append(r.paths, req.Method+" "+req.URL.RequestURI())
}

func (r *recorded) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.paths)
}

// gaussClient is Huawei's client as a user makes it, with an endpoint and keys.
func gaussClient(t *testing.T, endpoint, ak, sk, project string) *gaussdb.GaussDBClient {
	t.Helper()
	credentials, err := basic.NewCredentialsBuilder().WithAk(ak).WithSk(sk).WithProjectId(project).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	http, err := gaussdb.GaussDBClientBuilder().WithEndpoint(endpoint).WithCredential(credentials).WithHttpConfig(quiet()).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return gaussdb.NewGaussDBClient(http)
}

// quiet names the user agent: without a name the client writes a file into the home directory.
func quiet() *config.HttpConfig { return config.DefaultHttpConfig().WithUserAgent("backupbus-compat") }

func gaussInstance(t *testing.T, name string) string {
	t.Helper()
	id, err := events.InstanceID("acme", "sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	return events.GaussInstanceID(id)
}

// refusedWith holds an error of the client against a status and a code: all its fields are filled.
func refusedWith(t *testing.T, err error, status int, code, text string) {
	t.Helper()
	var e *sdkerr.ServiceResponseError
	if !errors.As(err, &e) {
		t.Fatalf("%v is no answer of the service", err)
	}
	if e.StatusCode != status || e.ErrorCode != code || !strings.Contains(e.ErrorMessage, text) || e.RequestId == "" {
		t.Errorf("%+v, want %d %s %q", e, status, code, text)
	}
}

func text(s string) *string { return &s }

// TestGaussDB_SDK is every call of the official client that the door has, signed, on a real database.
func TestGaussDB_SDK(t *testing.T) { // gaussdb.md 9: cases 1, 11, 19, 20, 22, 28, 30 to 34
	t.Parallel()
	server, seen := startGauss(t)
	registerBy(t, holder(ownToken), server, "orders")
	c, id := gaussClient(t, seen.front, gaussAK, gaussSK, "acme"), gaussInstance(t, "orders")

	_, err := c.CreateGaussMySqlBackup(&model.CreateGaussMySqlBackupRequest{Body: &model.MysqlCreateBackupRequest{InstanceId: id, Name: "backup-1", Description: text("before the <migration>")}})
	refusedWith(t, err, 400, "DBS.280127", "Invalid backup description.")
	made, err := c.CreateGaussMySqlBackup(&model.CreateGaussMySqlBackupRequest{Body: &model.MysqlCreateBackupRequest{InstanceId: id, Name: "backup-1", Description: text("before the migration")}})
	if err != nil {
		t.Fatal(err)
	}
	if made.HttpStatusCode != 201 || made.Backup.Status.Value() != "BUILDING" || made.Backup.Type.Value() != "manual" || *made.Backup.InstanceId != id || *made.Backup.Description != "before the migration" || *made.JobId == "" {
		t.Errorf("created: %+v", made)
	}
	listOne := func() *model.ShowGaussMySqlBackupListResponse {
		t.Helper()
		l, err := c.ShowGaussMySqlBackupList(&model.ShowGaussMySqlBackupListRequest{BackupId: made.Backup.Id, InstanceId: &id, BackupType: text("manual"), Name: text("backup-1"),
			BeginTime: text("2020-07-06T10:41:14+0800"), EndTime: text("2099-07-06T10:41:14+0800"), Limit: text("10"), Offset: text("0")})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := listOne(); len(*l.Backups) != 1 || *l.TotalCount != 1 {
		t.Fatalf("right after: %+v", l)
	}
	job := waitForJob(t, c, *made.JobId)
	if job.Job.Status.Value() != "Completed" || *job.Job.Ended == "" || *job.Job.Process != "" {
		t.Errorf("job: %+v", job)
	}
	if b := (*listOne().Backups)[0]; *b.Status != "COMPLETED" || *b.TakeUpTime < 1 || *b.Size < 1 || b.EndTime == nil || b.BackupLevel != nil {
		t.Errorf("completed: %+v", b)
	}
	in, err := showInstance(c, id)
	if err != nil || *in.Instance.Status != "ACTIVE" || in.Instance.Name != "orders" {
		t.Errorf("instance: %+v, %v", in, err)
	}
	if _, err := showInstance(c, "d8e6ca5a624745bcb546a227aa3ae1cfin01"); err == nil {
		t.Error("an unknown instance is there")
	} else {
		refusedWith(t, err, 404, "DBS.201028", "does not exist")
	}
	policyCalls(t, c, id)
	windows, err := c.ShowBackupRestoreTime(&model.ShowBackupRestoreTimeRequest{InstanceId: id})
	if err != nil || len(*windows.RestoreTimes) != 1 || *(*windows.RestoreTimes)[0].StartTime == 0 {
		t.Errorf("restore times: %+v, %v", windows, err)
	}
	full, err := c.ShowInstanceBackups(&model.ShowInstanceBackupsRequest{InstanceId: id, OrderField: text("name"), OrderRule: text("asc")})
	if err != nil || *full.TotalCount != "1" || *(*full.Backups)[0].Status != "COMPLETED" {
		t.Errorf("full backups: %+v, %v", full, err)
	}
	incremental, err := c.ShowGaussMySqlIncrementalBackupList(&model.ShowGaussMySqlIncrementalBackupListRequest{InstanceId: id})
	if err != nil || len(*incremental.Backups) != 0 || *incremental.TotalCount != 0 {
		t.Errorf("incremental backups: %+v, %v", incremental, err)
	}
	gone, err := c.DeleteGaussMySqlBackup(&model.DeleteGaussMySqlBackupRequest{BackupId: *made.Backup.Id})
	if err != nil || *gone.BackupId != *made.Backup.Id || *gone.BackupName != "backup-1" {
		t.Errorf("deleted: %+v, %v", gone, err)
	}
	if l := listOne(); len(*l.Backups) != 0 || *l.TotalCount != 0 {
		t.Errorf("after the deletion: %+v", l)
	}
	_, err = c.DeleteGaussMySqlBackup(&model.DeleteGaussMySqlBackupRequest{BackupId: *made.Backup.Id})
	refusedWith(t, err, 400, "DBS.201203", "The backup file does not exist.")
	_, err = c.DeleteGaussMySqlBackup(&model.DeleteGaussMySqlBackupRequest{}) // DELETE …/backups/
	refusedWith(t, err, 404, "APIGW.0101", "does not exist")
	batch, err := c.BatchDeleteBackup(&model.BatchDeleteBackupRequest{Body: &model.BatchDeleteBackupRequestBody{BackupIds: []string{"x"}}})
	if err != nil || *batch.SuccessCount != 0 || *batch.FailedCount != 1 || len(*batch.FailedResults) != 1 {
		t.Errorf("batch: %+v, %v", batch, err)
	}
	_, err = c.ShowGaussMySqlJobInfo(&model.ShowGaussMySqlJobInfoRequest{Id: "e0fbbfc8-1ac4-4721-b9e9-7dd685c5bdd7"})
	refusedWith(t, err, 400, "DBS.200543", "The job does not exist.")
	_, err = c.ShowGaussMySqlBackupList(&model.ShowGaussMySqlBackupListRequest{Limit: text("101"), XLanguage: text("zh-cn")})
	refusedWith(t, err, 400, "DBS.280439", "不合法")
}

func policyCalls(t *testing.T, c *gaussdb.GaussDBClient, id string) {
	t.Helper()
	set := func(start string, days int32, period string) error {
		_, err := c.UpdateGaussMySqlBackupPolicy(&model.UpdateGaussMySqlBackupPolicyRequest{InstanceId: id,
			Body: &model.MysqlUpdateBackupPolicyRequest{BackupPolicy: &model.MysqlBackupPolicy{StartTime: start, KeepDays: days, Period: period}}})
		return err
	}
	if err := set("19:00-20:00", 7, "1,2,3"); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, set("19:30-20:30", 7, "1"), 400, "DBS.280253", "Invalid backup start time.")
	p, err := c.ShowGaussMySqlBackupPolicy(&model.ShowGaussMySqlBackupPolicyRequest{InstanceId: id})
	if err != nil || p.BackupPolicy.KeepDays != 7 || *p.BackupPolicy.StartTime != "19:00-20:00" || *p.BackupPolicy.Period != "1,2,3" {
		t.Errorf("policy: %+v, %v", p, err)
	}
}

func showInstance(c *gaussdb.GaussDBClient, id string) (*model.ShowGaussMySqlInstanceInfoResponse, error) {
	return c.ShowGaussMySqlInstanceInfo(&model.ShowGaussMySqlInstanceInfoRequest{InstanceId: id}) //nolint:staticcheck // deprecated, and what clients wait on
}

// waitForJob polls a job as the API's users do.
func waitForJob(t *testing.T, c *gaussdb.GaussDBClient, id string) *model.ShowGaussMySqlJobInfoResponse {
	t.Helper()
	late := time.After(patience)
	for {
		job, err := c.ShowGaussMySqlJobInfo(&model.ShowGaussMySqlJobInfoRequest{Id: id})
		if err != nil {
			t.Fatal(err)
		}
		if s := job.Job.Status.Value(); s != "Running" {
			return job
		} else if !strings.HasSuffix(*job.Job.Process, "%") {
			t.Errorf("job: %+v", job.Job)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-late:
			t.Fatal("the job does not end")
		}
	}
}

func TestGaussDB_SDKAccess(t *testing.T) { // gaussdb.md 9: cases 6, 9, 10
	t.Parallel()
	_, seen := startGauss(t)
	list := func(ak, sk, project string) error {
		_, err := gaussClient(t, seen.front, ak, sk, project).ShowGaussMySqlBackupList(&model.ShowGaussMySqlBackupListRequest{})
		return err
	}
	if err := list(gaussAK, gaussSK, "acme"); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, list("NOBODY", gaussSK, "acme"), 401, "APIGW.0301", "ak not exist")
	refusedWith(t, list(gaussAK, gaussOtherSK, "acme"), 401, "APIGW.0301", "verify aksk signature fail")
	refusedWith(t, list(gaussOtherAK, gaussOtherSK, "acme"), 403, "DBS.200010", "not authorized")
	refusedWith(t, list(gaussAK, gaussSK, ""), 403, "DBS.200010", "not authorized") // the path holds the placeholder
	if last := seen.all(); !strings.Contains(last[len(last)-1], "%7Bproject_id%7D") {
		t.Errorf("without a project id: %s", last[len(last)-1])
	}
}

func TestGaussDB_SDKLooksItsProjectUp(t *testing.T) { // gaussdb.md 9: case 8; 3.6
	t.Parallel()
	_, seen := startGauss(t)
	credentials, err := basic.NewCredentialsBuilder().WithAk(gaussAK).WithSk(gaussSK).WithIamEndpointOverride(seen.front).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	http, err := gaussdb.GaussDBClientBuilder().WithRegion(region.NewRegion("cn-north-4", seen.front)).WithCredential(credentials).WithHttpConfig(quiet()).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gaussdb.NewGaussDBClient(http).ShowGaussMySqlBackupList(&model.ShowGaussMySqlBackupListRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(seen.all(), ", "); got != "GET /v3/projects?name=cn-north-4, GET /v3/acme/backups" {
		t.Errorf("%s", got)
	}
}
