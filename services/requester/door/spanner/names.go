package spanner

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/backupbus/backupbus/events"
)

// The names of spanner.md 2.
const (
	instanceForm  = "projects/*/instances/*"
	databaseForm  = instanceForm + "/databases/*"
	backupForm    = instanceForm + "/backups/*"
	scheduleForm  = databaseForm + "/backupSchedules/*"
	roleForm      = databaseForm + "/databaseRoles/*"
	configForm    = "projects/*/instanceConfigs/*"
	operationsEnd = "/operations"
)

var (
	idForm       = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,58}[a-z0-9]$`) // of a backup or a schedule
	databaseRule = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,28}[a-z0-9]$`) // of a database of provider spanner
	keyForm      = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$`)
	autoForm     = regexp.MustCompile(`^_auto_op_[0-9a-f]{16}$`)
)

const idRule = "2 to 60 characters of a-z, 0-9, _ and -, the first a letter, the last a letter or digit"

// maxResource bounds a name.
const maxResource = 1024

// parts are what stands for the stars of a form in a name.
func parts(form, name string) ([]string, bool) {
	f, n := strings.Split(form, "/"), strings.Split(name, "/")
	if len(f) != len(n) || len(name) > maxResource {
		return nil, false
	}
	var out []string
	for i := range f {
		switch {
		case f[i] == "*" && n[i] != "":
			out = append(out, n[i])
		case f[i] != n[i]:
			return nil, false
		}
	}
	return out, true
}

type instanceName struct{ project, instance string }

func (n instanceName) String() string {
	return "projects/" + n.project + "/instances/" + n.instance
}

func (n instanceName) backup(id string) string { return n.String() + "/backups/" + id }

func (n instanceName) database(id string) string { return n.String() + "/databases/" + id }

func parseInstance(name string) (instanceName, bool) {
	p, ok := parts(instanceForm, name)
	if !ok {
		return instanceName{}, false
	}
	return instanceName{p[0], p[1]}, true
}

// parseIn reads a name of a collection of instances: a backup's or a database's.
func parseIn(form, name string) (in instanceName, id string, ok bool) {
	p, ok := parts(form, name)
	if !ok {
		return instanceName{}, "", false
	}
	return instanceName{p[0], p[1]}, p[2], true
}

func nameOf(i events.Instance) instanceName { return instanceName{i.Project, i.Instance} }

func backupName(b events.Backup) string {
	return instanceName{b.Project, b.Instance}.backup(b.IDs.Spanner)
}

// operationID is what Spanner shows of an operation's id (events.md 1.4).
func operationID(id string) string {
	digits := strings.ReplaceAll(id, "-", "")
	return "_auto_op_" + digits[:min(16, len(digits))]
}

// databasesOf are the databases that an instance names; nil if it names none: then the executor decides.
func databasesOf(i events.Instance) []string {
	if i.Provider != "sqlite" {
		return i.Config.Databases
	}
	var out []string
	for _, f := range append([]string{i.Config.File}, i.Config.Files...) {
		if f != "" {
			out = append(out, filepath.Base(f))
		}
	}
	return out
}

// hasDatabase tells whether an instance may have a database of that name.
func hasDatabase(i events.Instance, id string) bool {
	named := databasesOf(i)
	return named == nil || slices.Contains(named, id)
}

// databaseOf is what a record shows as its database: that of the whole instance is its one database, or none.
func databaseOf(i events.Instance, recorded string) string {
	if named := databasesOf(i); recorded == "" && len(named) == 1 {
		recorded = named[0]
	}
	if recorded == "" {
		return ""
	}
	return nameOf(i).database(recorded)
}
