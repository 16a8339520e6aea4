package spanner_test

import (
	"fmt"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/grpc/codes"
)

// Without access control whoever asks holds what there is (case 52 without its second half, (b) 55).
func TestPermissions_OfWhatIsThere(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.ready(parent, "b1", "db")
	if _, err := w.plan(planned, "nightly", daily()); err != nil {
		t.Fatal(err)
	}
	test := func(resource string, permissions ...string) ([]string, error) {
		got, err := w.admin.TestIamPermissions(w.ctx(), &iampb.TestIamPermissionsRequest{Resource: resource, Permissions: permissions})
		return got.GetPermissions(), err
	}
	for _, resource := range []string{parent + "/backups/b1", planned, planned + "/backupSchedules/nightly", planned + "/databaseRoles/reader"} {
		got, err := test(resource, "spanner.backups.get", "spanner.nothing.get", "spanner.backups.get")
		if err != nil || fmt.Sprint(got) != "[spanner.backups.get]" {
			t.Errorf("%s: %v, %v", resource, got, err)
		}
		a := w.rest("POST", resource+":testIamPermissions", `{"permissions":["spanner.backups.create","spanner.databases.createBackup"]}`, 200)
		if list, _ := a.at("permissions").([]any); len(list) != 2 {
			t.Errorf("%s: %v", resource, a)
		}
	}
	for what, c := range map[string]struct {
		resource, permission string
		code                 codes.Code
	}{
		"a wildcard": {parent + "/backups/b1", "spanner.backups.*", codes.InvalidArgument}, "an instance": {parent, "spanner.backups.get", codes.InvalidArgument},
		"no such backup": {parent + "/backups/none", "spanner.backups.get", codes.NotFound}, "no such database": {named + "/databases/none", "spanner.backups.get", codes.NotFound},
		"no such schedule": {planned + "/backupSchedules/none", "spanner.backups.get", codes.NotFound}, "no such instance": {"projects/acme/instances/none/databases/db", "spanner.backups.get", codes.NotFound},
	} {
		_, err := test(c.resource, c.permission)
		refused(t, what, err, c.code, "")
	}
}
