package spanner_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	grpcmd "google.golang.org/grpc/metadata"

	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/door/spanner"
)

// Tokens of the grants below, by what their holders may do.
const (
	allToken    = "all-token-0123456789"
	creatorOnly = "creator-token-0123456789"  // spanner.backups.create, and not of databases
	readerToken = "reader-token-0123456789"   // get and list
	getterToken = "getter-token-0123456789"   // get alone
	strangers   = "stranger-token-0123456789" // all, in another project
	oldToken    = "old-token-0123456789"      // expired
)

const noCredentials = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential."

func setupClosed(t *testing.T) world {
	t.Helper()
	dir := t.TempDir()
	grant := func(token, project string, permissions ...string) access.Grant {
		file := filepath.Join(dir, token)
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		return access.Grant{TokenRef: "file:" + file, Projects: []string{project}, Permissions: permissions}
	}
	grants := access.Grants{
		grant(allToken, "acme", "*"), grant(creatorOnly, "acme", "spanner.backups.create"),
		grant(readerToken, "acme", "spanner.backups.get", "spanner.backups.list", "spanner.databases.list"),
		grant(getterToken, "acme", "spanner.backups.get"), grant(strangers, "other", "*"),
	}
	old := grant(oldToken, "acme", "*")
	old.Expires = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, p := range spanner.Permissions() {
		grants = append(grants, grant(lacking(p), "acme", slices.DeleteFunc(spanner.Permissions(), func(other string) bool { return other == p })...))
	}
	return setupWith(t, pipelinetest.Options{Access: append(grants, old)})
}

// lacking is the token of who holds every permission but one.
func lacking(permission string) string { return "lacking-" + permission }

func as(w world, token string) context.Context {
	if token == "" {
		return w.t.Context()
	}
	return grpcmd.AppendToOutgoingContext(w.t.Context(), "authorization", "Bearer "+token)
}

func TestAccess_Tokens(t *testing.T) { // (b) 44; case 51
	t.Parallel()
	w := setupClosed(t)
	for what, authorization := range map[string]string{"none": "", "unknown": "Bearer nobody-token-0123456789", "of another scheme": "Basic " + allToken, "longer": "Bearer " + allToken + "x", "expired": "Bearer " + oldToken} {
		ctx, h := w.t.Context(), http.Header{}
		if authorization != "" {
			ctx = grpcmd.AppendToOutgoingContext(ctx, "authorization", authorization)
			h.Set("Authorization", authorization)
		}
		_, err := w.admin.CreateBackup(ctx, request(parent, "b1", "db"))
		refused(t, what, err, codes.Unauthenticated, noCredentials)
		_, err = w.ops.DeleteOperation(ctx, &longrunningpb.DeleteOperationRequest{Name: parent + "/operations/x"})
		refused(t, what, err, codes.Unauthenticated, noCredentials)
		for _, c := range []struct{ method, path, body string }{
			{http.MethodGet, parent + "/backups", ""}, {http.MethodPost, parent + "/backups?backupId=b1", "{malformed"}, {http.MethodGet, parent + "/backups?pageSize=x", ""},
		} {
			a := w.restAs(h, c.method, c.path, c.body, 401)
			if a.at("error/status") != "UNAUTHENTICATED" || a.at("error/message") != noCredentials {
				t.Errorf("%s %s: %v", what, c.path, a)
			}
		}
	}
	for _, ev := range w.Events("acme") {
		if ev.Entity() != "instance" {
			t.Errorf("an event of a refused request: %s", ev.Type)
		}
	}
}

func TestAccess_Permissions(t *testing.T) { // (b) 45, 46; case 51
	t.Parallel()
	w := setupClosed(t)
	before := len(w.Events("acme"))
	lacks := func(permission, resource string) string {
		return fmt.Sprintf("Caller is missing IAM permission %s on resource %s.", permission, resource)
	}
	_, err := w.admin.CreateBackup(as(w, creatorOnly), request(parent, "b1", "db"))
	refused(t, "the second of two", err, codes.PermissionDenied, lacks("spanner.databases.createBackup", parent+"/databases/db"))
	_, err = w.admin.CreateBackup(as(w, readerToken), request(parent, "b1", "db"))
	refused(t, "the first of two", err, codes.PermissionDenied, lacks("spanner.backups.create", parent))
	_, err = w.admin.CreateBackup(as(w, readerToken), request(parent, "B1", "db"))
	refused(t, "the syntax comes first", err, codes.InvalidArgument, "")
	_, err = w.admin.CreateBackup(as(w, strangers), request("projects/acme/instances/none", "b1", "db"))
	refused(t, "whether it is there comes last", err, codes.PermissionDenied, lacks("spanner.backups.create", "projects/acme/instances/none"))
	a := w.restAs(http.Header{"Authorization": {"Bearer " + creatorOnly}}, http.MethodPost, parent+"/backups?backupId=b1",
		fmt.Sprintf(`{"database":"%s/databases/db","expireTime":"2030-01-01T00:00:00Z"}`, parent), 403)
	if a.at("error/status") != "PERMISSION_DENIED" {
		t.Error(a)
	}
	if len(w.Events("acme")) != before {
		t.Error("an event of a refused request")
	}

	op, err := w.admin.CreateBackup(as(w, allToken), request(parent, "b1", "db"))
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, c := range calls(w, op.GetName()) {
		for _, n := range c.needs {
			asked[n.permission] = true
			refused(t, c.method+" without "+n.permission, c.call(as(w, lacking(n.permission))), codes.PermissionDenied, lacks(n.permission, n.resource))
		}
		refused(t, c.method+" of another project", c.call(as(w, strangers)), codes.PermissionDenied, lacks(c.needs[0].permission, c.needs[0].resource))
	}
	for _, p := range spanner.Permissions() {
		if p != "spanner.databases.list" && !asked[p] { // that one: TestAccess_TestIamPermissionsTellsWhatIsHeld
			t.Errorf("no call needs %s", p)
		}
	}
	if got, err := w.admin.GetBackup(as(w, getterToken), &databasepb.GetBackupRequest{Name: parent + "/backups/b1"}); err != nil || got.GetState() != databasepb.Backup_CREATING {
		t.Errorf("the backup that nobody could change: %v, %v", got, err)
	}
	w.finish("b1", nil)
}

// call is one method with all that its caller has to hold.
type call struct {
	method string
	needs  []need
	call   func(context.Context) error
}

type need struct{ permission, resource string }

func calls(w world, operation string) []call {
	backup, db := parent+"/backups/b1", parent+"/databases/db"
	nightly, restored := db+"/backupSchedules/nightly", db+"/operations/_auto_op_0123456789abcdef"
	result := func(_ any, err error) error { return err }
	return []call{
		{"CreateBackup", []need{{"spanner.backups.create", parent}, {"spanner.databases.createBackup", db}}, func(ctx context.Context) error {
			return result(w.admin.CreateBackup(ctx, request(parent, "b9", "db")))
		}},
		{"CopyBackup", []need{{"spanner.backups.copy", backup}, {"spanner.backups.create", named}}, func(ctx context.Context) error {
			return result(w.admin.CopyBackup(ctx, &databasepb.CopyBackupRequest{Parent: named, BackupId: "b2", SourceBackup: backup}))
		}},
		{"GetBackup", []need{{"spanner.backups.get", backup}}, func(ctx context.Context) error {
			return result(w.admin.GetBackup(ctx, &databasepb.GetBackupRequest{Name: backup}))
		}},
		{"UpdateBackup", []need{{"spanner.backups.update", backup}}, func(ctx context.Context) error {
			return result(w.admin.UpdateBackup(ctx, &databasepb.UpdateBackupRequest{Backup: &databasepb.Backup{Name: backup, ExpireTime: in(48 * 3600e9)}, UpdateMask: mask("expire_time")}))
		}},
		{"DeleteBackup", []need{{"spanner.backups.delete", backup}}, func(ctx context.Context) error {
			return result(w.admin.DeleteBackup(ctx, &databasepb.DeleteBackupRequest{Name: backup}))
		}},
		{"ListBackups", []need{{"spanner.backups.list", parent}}, func(ctx context.Context) error {
			return result(w.admin.ListBackups(ctx, &databasepb.ListBackupsRequest{Parent: parent}))
		}},
		{"RestoreDatabase", []need{{"spanner.backups.restoreDatabase", backup}, {"spanner.databases.create", named}}, func(ctx context.Context) error {
			return result(w.admin.RestoreDatabase(ctx, &databasepb.RestoreDatabaseRequest{Parent: named, DatabaseId: "db2", Source: &databasepb.RestoreDatabaseRequest_Backup{Backup: backup}}))
		}},
		{"ListBackupOperations", []need{{"spanner.backupOperations.list", parent}}, func(ctx context.Context) error {
			return result(w.admin.ListBackupOperations(ctx, &databasepb.ListBackupOperationsRequest{Parent: parent}))
		}},
		{"ListOperations", []need{{"spanner.backupOperations.list", backup}}, func(ctx context.Context) error {
			return result(w.ops.ListOperations(ctx, &longrunningpb.ListOperationsRequest{Name: backup + "/operations"}))
		}},
		{"ListOperations of an instance", []need{{"spanner.backupOperations.list", parent}}, func(ctx context.Context) error {
			return result(w.ops.ListOperations(ctx, &longrunningpb.ListOperationsRequest{Name: parent + "/operations"}))
		}},
		{"ListOperations of a database", []need{{"spanner.databaseOperations.list", db}}, func(ctx context.Context) error {
			return result(w.ops.ListOperations(ctx, &longrunningpb.ListOperationsRequest{Name: db + "/operations"}))
		}},
		{"GetOperation", []need{{"spanner.backupOperations.get", operation}}, func(ctx context.Context) error {
			return result(w.ops.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: operation}))
		}},
		{"WaitOperation", []need{{"spanner.backupOperations.get", operation}}, func(ctx context.Context) error {
			return result(w.ops.WaitOperation(ctx, &longrunningpb.WaitOperationRequest{Name: operation}))
		}},
		{"CancelOperation", []need{{"spanner.backupOperations.cancel", operation}}, func(ctx context.Context) error {
			return result(w.ops.CancelOperation(ctx, &longrunningpb.CancelOperationRequest{Name: operation}))
		}},
		{"GetOperation of a database", []need{{"spanner.databaseOperations.get", restored}}, func(ctx context.Context) error {
			return result(w.ops.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: restored}))
		}},
		{"CancelOperation of a database called so", []need{{"spanner.databaseOperations.cancel", parent + "/databases/operations/operations/_auto_op_0123456789abcdef"}}, func(ctx context.Context) error {
			return result(w.ops.CancelOperation(ctx, &longrunningpb.CancelOperationRequest{Name: parent + "/databases/operations/operations/_auto_op_0123456789abcdef"}))
		}},
		{"CreateBackupSchedule", []need{{"spanner.backupSchedules.create", db}, {"spanner.databases.createBackup", db}}, func(ctx context.Context) error {
			return result(w.admin.CreateBackupSchedule(ctx, &databasepb.CreateBackupScheduleRequest{Parent: db, BackupScheduleId: "nightly", BackupSchedule: daily()}))
		}},
		{"GetBackupSchedule", []need{{"spanner.backupSchedules.get", nightly}}, func(ctx context.Context) error {
			return result(w.admin.GetBackupSchedule(ctx, &databasepb.GetBackupScheduleRequest{Name: nightly}))
		}},
		{"UpdateBackupSchedule", []need{{"spanner.backupSchedules.update", nightly}}, func(ctx context.Context) error {
			s := daily()
			s.Name = nightly
			return result(w.admin.UpdateBackupSchedule(ctx, &databasepb.UpdateBackupScheduleRequest{BackupSchedule: s, UpdateMask: mask("retention_duration")}))
		}},
		{"DeleteBackupSchedule", []need{{"spanner.backupSchedules.delete", nightly}}, func(ctx context.Context) error {
			return result(w.admin.DeleteBackupSchedule(ctx, &databasepb.DeleteBackupScheduleRequest{Name: nightly}))
		}},
		{"ListBackupSchedules", []need{{"spanner.backupSchedules.list", db}}, func(ctx context.Context) error {
			return result(w.admin.ListBackupSchedules(ctx, &databasepb.ListBackupSchedulesRequest{Parent: db}))
		}},
	}
}

func TestAccess_TestIamPermissionsTellsWhatIsHeld(t *testing.T) { // case 52, (b) 55
	t.Parallel()
	w := setupClosed(t)
	if _, err := w.admin.CreateBackup(as(w, allToken), request(parent, "b1", "db")); err != nil {
		t.Fatal(err)
	}
	w.finish("b1", nil)
	there, gone := parent+"/backups/b1", parent+"/backups/none"
	for _, c := range []struct {
		what, token, resource string
		held                  []string
		code                  codes.Code
	}{
		{"one of two", getterToken, there, []string{"spanner.backups.get"}, codes.OK},
		{"both", allToken, there, []string{"spanner.backups.get", "spanner.backups.delete"}, codes.OK},
		{"none", strangers, there, nil, codes.OK},
		{"gone, may list", readerToken, gone, nil, codes.NotFound},
		{"gone, may not list", getterToken, gone, nil, codes.OK},
		{"gone, of another project", strangers, gone, nil, codes.OK},
		{"no database, may list", readerToken, named + "/databases/none", nil, codes.NotFound},
		{"no database, may not list", getterToken, named + "/databases/none", nil, codes.OK},
		{"a name that cannot be, may not list", strangers, parent + "/databases/" + strings.Repeat("x", 101) + "/backupSchedules/s1", nil, codes.OK},
		{"the same of no instance", strangers, "projects/acme/instances/none/databases/" + strings.Repeat("x", 101) + "/backupSchedules/s1", nil, codes.OK},
		{"no resource", strangers, parent, nil, codes.InvalidArgument},
		{"no schedule, may not list", readerToken, parent + "/databases/db/backupSchedules/none", nil, codes.OK},
	} {
		got, err := w.admin.TestIamPermissions(as(w, c.token), &iampb.TestIamPermissionsRequest{Resource: c.resource, Permissions: []string{"spanner.backups.get", "spanner.backups.delete"}})
		refused(t, c.what, err, c.code, "")
		if !slices.Equal(got.GetPermissions(), c.held) {
			t.Errorf("%s: %v", c.what, got.GetPermissions())
		}
	}
}
