package spanner_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	grpcmd "google.golang.org/grpc/metadata"

	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// Tokens of the grants below, by what their holders may do.
const (
	allToken    = "all-token-0123456789"
	creatorOnly = "creator-token-0123456789"  // spanner.backups.create, and not of databases
	readerToken = "reader-token-0123456789"   // get and list
	getterToken = "getter-token-0123456789"   // get alone
	strangers   = "stranger-token-0123456789" // all, in another project
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
	return setupWith(t, pipelinetest.Options{Access: access.Grants{
		grant(allToken, "acme"), grant(creatorOnly, "acme", "spanner.backups.create"),
		grant(readerToken, "acme", "spanner.backups.get", "spanner.backups.list", "spanner.databases.list"),
		grant(getterToken, "acme", "spanner.backups.get"), grant(strangers, "other"),
	}})
}

func as(w world, token string) context.Context {
	if token == "" {
		return w.t.Context()
	}
	return grpcmd.AppendToOutgoingContext(w.t.Context(), "authorization", "Bearer "+token)
}

func TestAccess_Tokens(t *testing.T) { // (b) 44; case 51
	t.Parallel()
	w := setupClosed(t)
	for what, authorization := range map[string]string{"none": "", "unknown": "Bearer nobody-token-0123456789", "of another scheme": "Basic " + allToken, "longer": "Bearer " + allToken + "x"} {
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
	backup, schedules := parent+"/backups/b1", parent+"/databases/db/backupSchedules"
	for permission, call := range map[string]func(ctx context.Context) (resource string, err error){
		"spanner.backups.get": func(ctx context.Context) (string, error) {
			_, err := w.admin.GetBackup(ctx, &databasepb.GetBackupRequest{Name: backup})
			return backup, err
		},
		"spanner.backups.list": func(ctx context.Context) (string, error) {
			_, err := w.admin.ListBackups(ctx, &databasepb.ListBackupsRequest{Parent: parent})
			return parent, err
		},
		"spanner.backups.update": func(ctx context.Context) (string, error) {
			_, err := w.admin.UpdateBackup(ctx, &databasepb.UpdateBackupRequest{Backup: &databasepb.Backup{Name: backup, ExpireTime: in(48 * 3600e9)}, UpdateMask: mask("expire_time")})
			return backup, err
		},
		"spanner.backups.delete": func(ctx context.Context) (string, error) {
			_, err := w.admin.DeleteBackup(ctx, &databasepb.DeleteBackupRequest{Name: backup})
			return backup, err
		},
		"spanner.backups.copy": func(ctx context.Context) (string, error) {
			_, err := w.admin.CopyBackup(ctx, &databasepb.CopyBackupRequest{Parent: named, BackupId: "b2", SourceBackup: backup})
			return backup, err
		},
		"spanner.backups.restoreDatabase": func(ctx context.Context) (string, error) {
			_, err := w.admin.RestoreDatabase(ctx, &databasepb.RestoreDatabaseRequest{Parent: named, DatabaseId: "db2", Source: &databasepb.RestoreDatabaseRequest_Backup{Backup: backup}})
			return backup, err
		},
		"spanner.backupOperations.list": func(ctx context.Context) (string, error) {
			_, err := w.admin.ListBackupOperations(ctx, &databasepb.ListBackupOperationsRequest{Parent: parent})
			return parent, err
		},
		"spanner.databaseOperations.list": func(ctx context.Context) (string, error) {
			_, err := w.ops.ListOperations(ctx, &longrunningpb.ListOperationsRequest{Name: parent + "/databases/db/operations"})
			return parent + "/databases/db", err
		},
		"spanner.backupOperations.get": func(ctx context.Context) (string, error) {
			_, err := w.ops.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: op.GetName()})
			return op.GetName(), err
		},
		"spanner.backupOperations.cancel": func(ctx context.Context) (string, error) {
			_, err := w.ops.CancelOperation(ctx, &longrunningpb.CancelOperationRequest{Name: op.GetName()})
			return op.GetName(), err
		},
		"spanner.backupSchedules.create": func(ctx context.Context) (string, error) {
			_, err := w.admin.CreateBackupSchedule(ctx, &databasepb.CreateBackupScheduleRequest{Parent: parent + "/databases/db", BackupScheduleId: "nightly", BackupSchedule: daily()})
			return parent + "/databases/db", err
		},
		"spanner.backupSchedules.get": func(ctx context.Context) (string, error) {
			_, err := w.admin.GetBackupSchedule(ctx, &databasepb.GetBackupScheduleRequest{Name: schedules + "/nightly"})
			return schedules + "/nightly", err
		},
		"spanner.backupSchedules.delete": func(ctx context.Context) (string, error) {
			_, err := w.admin.DeleteBackupSchedule(ctx, &databasepb.DeleteBackupScheduleRequest{Name: schedules + "/nightly"})
			return schedules + "/nightly", err
		},
		"spanner.backupSchedules.list": func(ctx context.Context) (string, error) {
			_, err := w.admin.ListBackupSchedules(ctx, &databasepb.ListBackupSchedulesRequest{Parent: parent + "/databases/db"})
			return parent + "/databases/db", err
		},
	} {
		resource, err := call(as(w, strangers))
		refused(t, permission, err, codes.PermissionDenied, lacks(permission, resource))
	}
	if got, err := w.admin.GetBackup(as(w, getterToken), &databasepb.GetBackupRequest{Name: backup}); err != nil || got.GetState() != databasepb.Backup_CREATING {
		t.Errorf("the backup that nobody could change: %v, %v", got, err)
	}
	w.finish("b1", nil)
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
		{"no schedule, may not list", readerToken, parent + "/databases/db/backupSchedules/none", nil, codes.OK},
	} {
		got, err := w.admin.TestIamPermissions(as(w, c.token), &iampb.TestIamPermissionsRequest{Resource: c.resource, Permissions: []string{"spanner.backups.get", "spanner.backups.delete"}})
		refused(t, c.what, err, c.code, "")
		if !slices.Equal(got.GetPermissions(), c.held) {
			t.Errorf("%s: %v", c.what, got.GetPermissions())
		}
	}
}
