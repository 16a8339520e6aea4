package gaussdb

import (
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// The words of gaussdb.md 7. AVAILABLE is never given: Terraform takes it for a failure (6).
const (
	building  = "BUILDING"
	completed = "COMPLETED"
	failed    = "FAILED"
	deleting  = "DELETING" // row 10 only

	auto   = "auto"
	manual = "manual"
)

func statusOf(b events.Backup) string {
	switch {
	case lifecycle.InTheMaking(b):
		return building
	case lifecycle.Succeeded(b):
		return completed
	}
	return failed
}

func typeOf(b events.Backup) string {
	if b.Trigger == events.Scheduled {
		return auto
	}
	return manual
}

// stamp has seconds and a numeric offset without a colon (2.3).
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05-0700")
}

// ended is when a backup ended; what was skipped has no end of its own.
func ended(b events.Backup) time.Time {
	switch {
	case lifecycle.InTheMaking(b):
		return time.Time{}
	case b.EndTime.IsZero() && b.Skip != nil && !b.Skip.Time.IsZero():
		return b.Skip.Time.Time
	case b.EndTime.IsZero():
		return b.EnqueuedTime.Time
	}
	return b.EndTime.Time
}

// minutes are those between the times that are shown, rounded up, at least 1.
func minutes(b events.Backup) int64 {
	end := ended(b)
	if end.IsZero() {
		return 0
	}
	took := end.Truncate(time.Second).Sub(lifecycle.Begun(b))
	return max(1, int64((took+time.Minute-1)/time.Minute))
}

// units is a completed backup's size in units of so many bytes, rounded up.
func units(b events.Backup, unit int64) int64 {
	if statusOf(b) != completed {
		return 0
	}
	return (*b.SizeBytes + unit - 1) / unit
}

const (
	kilobyte = 1 << 10
	megabyte = 1 << 20
)

// levelOf tells a snapshot that lies with its database (1) from a copy that lies elsewhere (2).
func levelOf(b events.Backup) string {
	switch {
	case statusOf(b) != completed:
		return "0"
	case b.BackupKind == "SNAPSHOT" && (b.ProviderRef == nil || len(b.ProviderRef.CopiedTo) == 0):
		return "1"
	}
	return "2"
}

// instanceIDOf is the id of the instance of a backup, be it there or not.
func instanceIDOf(b events.Backup) string {
	id, err := events.InstanceID(b.Project, b.Provider, b.Instance)
	if err != nil {
		return "" // names have been checked when the instance was registered
	}
	return events.GaussInstanceID(id)
}

func headOf(b events.Backup) backupHead {
	return backupHead{ID: b.IDs.GaussDB, Name: lifecycle.ListedName(b), Description: b.Description, BeginTime: stamp(lifecycle.Begun(b)),
		Status: statusOf(b), Type: typeOf(b), InstanceID: instanceIDOf(b)}
}

func (d *Door) backup(b events.Backup) backup {
	h := headOf(b)
	out := backup{ID: h.ID, Name: h.Name, BeginTime: h.BeginTime, EndTime: stamp(ended(b)), TakeUpTime: minutes(b), Status: h.Status, Type: h.Type,
		Size: units(b, megabyte), Datastore: datastoreOf(b.Provider, b.Engine, b.EngineVersion), InstanceID: h.InstanceID, InstanceName: b.Instance,
		Description: h.Description}
	if d.c.Level1 {
		out.BackupLevel = levelOf(b)
	}
	return out
}

// datastoreOf gives engines of the MySQL family the vendor's own name and others theirs (4.2); a version has two parts,
// as 8.0.
func datastoreOf(provider, engine, version string) datastore {
	if engine == "" {
		engine = provider
	}
	switch engine {
	case "mysql", "gaussdb", "taurusdb":
		engine = "gaussdb-mysql"
	case "postgres":
		engine = "postgresql"
	}
	if parts := strings.SplitN(version, ".", 3); len(parts) == 3 {
		version = parts[0] + "." + parts[1]
	}
	return datastore{engine, version}
}
