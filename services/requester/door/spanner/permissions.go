package spanner

import (
	"context"
	"slices"
	"strings"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/backupbus/backupbus/services/requester/intake"
)

// permissions are those of this door's methods (spanner.md 1).
var permissions = []string{
	"spanner.backups.create", "spanner.backups.copy", "spanner.backups.get", "spanner.backups.update", "spanner.backups.delete", "spanner.backups.list",
	"spanner.backups.restoreDatabase", "spanner.backupOperations.list", "spanner.backupOperations.get", "spanner.backupOperations.cancel",
	"spanner.backupSchedules.create", "spanner.backupSchedules.get", "spanner.backupSchedules.update", "spanner.backupSchedules.delete", "spanner.backupSchedules.list",
	"spanner.databaseOperations.list", "spanner.databaseOperations.get", "spanner.databaseOperations.cancel",
	"spanner.databases.create", "spanner.databases.createBackup", "spanner.databases.list",
}

// Permissions are the names of all that this door asks for.
func Permissions() []string { return slices.Clone(permissions) }

const maxPermissions = 100

// TestIamPermissions implements DatabaseAdmin (spanner.md 4.9). Who may not list what the resource is one of learns
// nothing of whether it is there.
func (s *adminServer) TestIamPermissions(ctx context.Context, r *iampb.TestIamPermissionsRequest) (*iampb.TestIamPermissionsResponse, error) {
	const method = "TestIamPermissions"
	if len(r.GetPermissions()) > maxPermissions {
		return nil, malformed(method)
	}
	out := &iampb.TestIamPermissionsResponse{}
	for _, p := range r.GetPermissions() {
		if strings.Contains(p, "*") {
			return nil, invalid("Invalid %s request. Permissions with wildcards are not allowed.", method)
		}
		if slices.Contains(permissions, p) && !slices.Contains(out.Permissions, p) && may(ctx, p, r.GetResource()) == nil {
			out.Permissions = append(out.Permissions, p)
		}
	}
	err := s.door.there(ctx, method, r.GetResource())
	if status.Code(err) == codes.NotFound && may(ctx, listOf(r.GetResource()), r.GetResource()) != nil {
		return &iampb.TestIamPermissionsResponse{}, nil
	}
	return out, err
}

// listOf is the permission to list what a resource is one of.
func listOf(name string) string {
	if _, ok := parts(backupForm, name); ok {
		return "spanner.backups.list"
	}
	if _, ok := parts(scheduleForm, name); ok {
		return "spanner.backupSchedules.list"
	}
	return "spanner.databases.list"
}

// there tells whether a resource is.
func (d *Door) there(ctx context.Context, method, name string) error {
	if in, id, ok := parseIn(backupForm, name); ok {
		_, _, err := d.find(ctx, in, id)
		return err
	}
	if p, ok := parts(scheduleForm, name); ok {
		plan, err := d.plan(ctx, method, instanceName{p[0], p[1]}.database(p[2]), p[3])
		if err == nil {
			_, err = plan.standing()
		}
		return err
	}
	p, ok := parts(databaseForm, name)
	if !ok {
		if p, ok = parts(roleForm, name); !ok {
			return malformed(method)
		}
	}
	in := instanceName{p[0], p[1]}
	h, err := d.home(ctx, in)
	if intake.KindOf(err) == intake.NotFound || err == nil && !hasDatabase(h.Instance, p[2]) {
		return notFound("Database", databaseType, in.database(p[2]))
	}
	return err
}
