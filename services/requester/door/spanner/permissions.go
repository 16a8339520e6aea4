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
	at, ok := readResource(r.GetResource())
	if !ok {
		return nil, malformed(method)
	}
	err := s.door.there(ctx, method, at)
	if code := status.Code(err); code != codes.OK && code != codes.Internal && code != codes.Unavailable && may(ctx, at.list, r.GetResource()) != nil {
		return &iampb.TestIamPermissionsResponse{}, nil
	}
	return out, err
}

// resource is what a name of one says, with the permission to list what it is one of.
type resource struct {
	instanceName
	backup, database, schedule string
	list                       string
}

func readResource(name string) (resource, bool) {
	if in, id, ok := parseIn(backupForm, name); ok {
		return resource{instanceName: in, backup: id, list: "spanner.backups.list"}, true
	}
	if p, ok := parts(scheduleForm, name); ok {
		return resource{instanceName: instanceName{p[0], p[1]}, database: p[2], schedule: p[3], list: "spanner.backupSchedules.list"}, true
	}
	p, ok := parts(databaseForm, name)
	if !ok {
		p, ok = parts(roleForm, name)
	}
	if !ok {
		return resource{}, false
	}
	return resource{instanceName: instanceName{p[0], p[1]}, database: p[2], list: "spanner.databases.list"}, true
}

// there tells whether a resource is.
func (d *Door) there(ctx context.Context, method string, r resource) error {
	if r.backup != "" {
		_, _, err := d.find(ctx, r.instanceName, r.backup)
		return err
	}
	if r.schedule != "" {
		plan, err := d.plan(ctx, method, r.instanceName.database(r.database), r.schedule)
		if err == nil {
			_, err = plan.standing()
		}
		return err
	}
	h, err := d.home(ctx, r.instanceName)
	if intake.KindOf(err) == intake.NotFound || err == nil && !hasDatabase(h.Instance, r.database) {
		return notFound("Database", databaseType, r.instanceName.database(r.database))
	}
	return err
}
