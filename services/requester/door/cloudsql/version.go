package cloudsql

import (
	"net/http"
	"slices"
)

// version is one of the API's versions: its path and its methods. v1beta4 and v1 have the same ones and the same
// answers but for their links (cloudsql.md 1).
type version struct {
	prefix string
	routes []route
}

// The prefixes. Only v1 has no sql/ in it.
const (
	v1      = "/v1/"
	v1beta4 = "/sql/v1beta4/"
	v1beta3 = "/sql/v1beta3/"
)

func (d *Door) versions() []version {
	current := []route{
		{http.MethodPost, "projects/{project}/instances/{instance}/backupRuns", "cloudsql.backupRuns.create", d.insertRun},
		{http.MethodGet, "projects/{project}/instances/{instance}/backupRuns", "cloudsql.backupRuns.list", d.listRuns},
		{http.MethodGet, "projects/{project}/instances/{instance}/backupRuns/{id}", "cloudsql.backupRuns.get", d.getRun},
		{http.MethodDelete, "projects/{project}/instances/{instance}/backupRuns/{id}", "cloudsql.backupRuns.delete", d.deleteRun},
		{http.MethodGet, "projects/{project}/operations/{operation}", "cloudsql.instances.get", d.getOperation},
		{http.MethodGet, "projects/{project}/operations", "cloudsql.instances.get", d.listOperations},
		{http.MethodPost, "projects/{project}/operations/{operation}/cancel", "cloudsql.instances.update", d.cancelOperation},
		{http.MethodGet, "projects/{project}/instances/{instance}", "cloudsql.instances.get", d.getInstance},
		{http.MethodGet, "projects/{project}/instances", "cloudsql.instances.list", d.listInstances},
		{http.MethodPatch, "projects/{project}/instances/{instance}", "cloudsql.instances.update", d.patchInstance},
		{http.MethodPut, "projects/{project}/instances/{instance}", "cloudsql.instances.update", d.updateInstance},
		{http.MethodPost, "projects/{project}/backups", "cloudsql.backupRuns.create", d.createBackup},
		{http.MethodGet, "projects/{project}/backups", "cloudsql.backupRuns.list", d.listBackups},
		{http.MethodGet, "projects/{project}/backups/{backup}", "cloudsql.backupRuns.get", d.getBackup},
		{http.MethodPatch, "projects/{project}/backups/{backup}", "cloudsql.backupRuns.update", d.updateBackup},
		{http.MethodDelete, "projects/{project}/backups/{backup}", "cloudsql.backupRuns.delete", d.deleteBackup},
	}
	legacy := []route{
		{http.MethodGet, "projects/{project}/instances/{instance}/backupRuns/{backupConfiguration}", "cloudsql.backupRuns.get", d.getLegacyRun},
		{http.MethodGet, "projects/{project}/instances/{instance}/backupRuns", "cloudsql.backupRuns.list", d.listLegacyRuns},
		{http.MethodGet, "projects/{project}/instances/{instance}", "cloudsql.instances.get", d.getLegacyInstance},
		{http.MethodGet, "projects/{project}/instances/{instance}/operations/{operation}", "cloudsql.instances.get", d.getLegacyOperation},
		{http.MethodGet, "projects/{project}/instances/{instance}/operations", "cloudsql.instances.get", d.listLegacyOperations},
	}
	return []version{{v1beta4, current}, {v1, current}, {v1beta3, legacy}}
}

// Permissions are the names of all that this door asks for (cloudsql.md 3). Of cancelling an operation the vendor says
// nothing: it changes the instance.
func Permissions() (out []string) {
	for _, v := range (&Door{}).versions() {
		for _, r := range v.routes {
			if !slices.Contains(out, r.permission) {
				out = append(out, r.permission)
			}
		}
	}
	return out
}
