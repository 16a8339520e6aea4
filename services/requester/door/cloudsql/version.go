package cloudsql

import "net/http"

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
		{http.MethodPost, "projects/{project}/instances/{instance}/backupRuns", d.insertRun},
		{http.MethodGet, "projects/{project}/instances/{instance}/backupRuns", d.listRuns},
		{http.MethodGet, "projects/{project}/instances/{instance}/backupRuns/{id}", d.getRun},
		{http.MethodDelete, "projects/{project}/instances/{instance}/backupRuns/{id}", d.deleteRun},
		{http.MethodGet, "projects/{project}/operations/{operation}", d.getOperation},
		{http.MethodGet, "projects/{project}/operations", d.listOperations},
		{http.MethodPost, "projects/{project}/operations/{operation}/cancel", d.cancelOperation},
		{http.MethodGet, "projects/{project}/instances/{instance}", d.getInstance},
		{http.MethodGet, "projects/{project}/instances", d.listInstances},
		{http.MethodPatch, "projects/{project}/instances/{instance}", d.patchInstance},
		{http.MethodPut, "projects/{project}/instances/{instance}", d.updateInstance},
		{http.MethodPost, "projects/{project}/backups", d.createBackup},
		{http.MethodGet, "projects/{project}/backups", d.listBackups},
		{http.MethodGet, "projects/{project}/backups/{backup}", d.getBackup},
		{http.MethodPatch, "projects/{project}/backups/{backup}", d.updateBackup},
		{http.MethodDelete, "projects/{project}/backups/{backup}", d.deleteBackup},
	}
	legacy := []route{
		{http.MethodGet, "projects/{project}/instances/{instance}/backupRuns/{backupConfiguration}", d.getLegacyRun},
		{http.MethodGet, "projects/{project}/instances/{instance}/backupRuns", d.listLegacyRuns},
		{http.MethodGet, "projects/{project}/instances/{instance}", d.getLegacyInstance},
		{http.MethodGet, "projects/{project}/instances/{instance}/operations/{operation}", d.getLegacyOperation},
		{http.MethodGet, "projects/{project}/instances/{instance}/operations", d.listLegacyOperations},
	}
	return []version{{v1beta4, current}, {v1, current}, {v1beta3, legacy}}
}
