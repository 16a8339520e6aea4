package events

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Origin names a request: ids are functions of it, so that a repeat of anything finds what the first
// time made (events.md 1.4).
type Origin struct {
	Source string // S: the command's source, `//{bus}/doors/{door}`, or a schedule's source
	Key    string // K: the command's id, an Idempotency-Key, a due time, or a FreshKey
}

// FreshKey returns 26 random characters for a call that brings no key of its own.
func FreshKey() string {
	var b [17]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return alphabet.EncodeToString(b[:])[:26]
}

// RequestID is `rq_…` of the request that o names in project.
func RequestID(project string, o Origin) (string, error) {
	return hash("rq_", "request", project, o.Source, o.Key)
}

// BackupID is `bk_…` of the backup that the request o creates in project.
func BackupID(project string, o Origin) (string, error) {
	return hash("bk_", "backup", project, o.Source, o.Key)
}

// RestoreID is `rs_…` of the restore that the request o creates in project.
func RestoreID(project string, o Origin) (string, error) {
	return hash("rs_", "restore", project, o.Source, o.Key)
}

// InstanceID is `in_…` of a named instance of a provider.
func InstanceID(project, provider, instance string) (string, error) {
	return hash("in_", "instance", project, provider, instance)
}

// ScheduleID is `sc_…`; database may be empty.
func ScheduleID(project, instance, database, name string) (string, error) {
	return hash("sc_", "schedule", project, instance, database, name)
}

// DeliveryID is `dl_…` of one event to one subscription.
func DeliveryID(subscriptionID, eventSource, eventID string) (string, error) {
	return hash("dl_", "delivery", subscriptionID, eventSource, eventID)
}

// SubscriptionID is `su_…` of a subscription that the notifier's configuration names. A subscription
// made over the API gets a random one.
func SubscriptionID(project, name string) (string, error) {
	return hash("su_", "subscription", project, name)
}

// hash is h of events.md 1.4 behind a prefix. A part with a line feed could be another list of parts: refused.
func hash(prefix string, parts ...string) (string, error) {
	for _, p := range parts {
		if strings.ContainsRune(p, '\n') {
			return "", errors.New("a name or key contains a line feed")
		}
	}
	return prefix + digest(strings.Join(parts, "\n")), nil
}

// EventID is `{aggregate id}-{step}`, or `{aggregate id}-{step}-{n}` for the steps that have an n. What n
// counts is in the table of events.md 1.4; pass 0 for a step without one.
func EventID(aggregateID string, entity Entity, step Step, n int) string {
	id := aggregateID + "-" + string(step)
	if step.numbered(entity) {
		id += "-" + strconv.Itoa(n)
	}
	return id
}

// numbered tells whether the event id of a step carries a number.
func (s Step) numbered(e Entity) bool {
	switch e {
	case Restores, Deliveries:
		return false
	case Backups:
		switch s {
		case Requested, Skipped, CancelRequested, Cancelled, Deleted:
			return false
		}
		return true
	case Requests:
		return s == Rejected
	default: // instance, schedule, subscription: the generation
		return true
	}
}

// OperationID is op(e) of events.md 1.4: a version-4-shaped UUID made from an event id.
func OperationID(eventID string) string {
	sum := sha256.Sum256([]byte("operation\n" + eventID))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	x := hex.EncodeToString(u)
	return fmt.Sprintf("%s-%s-%s-%s-%s", x[:8], x[8:12], x[12:16], x[16:20], x[20:])
}

// NewBackupIDs gives a backup the identifiers of every dialect (events.md 1.4). spanner may be empty
// (the backup id then serves); taken is the time that `ids.cloudsql` comes from.
func NewBackupIDs(backupID, spanner string, taken time.Time) BackupIDs {
	if spanner == "" {
		spanner = backupID
	}
	return BackupIDs{
		CloudSQL:  strconv.FormatInt(taken.UnixMilli(), 10),
		GaussDB:   hex32(backupID) + "br07",
		Spanner:   spanner,
		Operation: OperationID(EventID(backupID, Backups, Requested, 0)),
	}
}

// GaussInstanceID is the GaussDB door's id of an instance (events.md 2.3).
func GaussInstanceID(instanceID string) string { return hex32(instanceID) + "in07" }

func hex32(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
