package cloudsql

import (
	"regexp"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/door/filter"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// maxExpiry bounds expiryTime and ttlDays (cloudsql.md 9).
const maxExpiry = 365 * 24 * time.Hour

// createBackup is Backups.CreateBackup (9): an on-demand backup of the instance that the body names.
func (d *Door) createBackup(c *call) (any, error) {
	body, err := readBody(c.Body)
	if err != nil {
		return nil, err
	}
	instance, description, location := body.text("instance"), body.text("description"), body.text("location")
	expire, err := d.expiry(body)
	if err != nil {
		return nil, err
	}
	if err := body.err(); err != nil {
		return nil, err
	}
	name := instance.value
	if p, n, ok := strings.Cut(strings.TrimPrefix(name, "projects/"), "/instances/"); ok { // the long form
		if p != c.path["project"] {
			return nil, invalid("instance is one of project " + c.path["project"] + ".")
		}
		name = n
	}
	if name == "" || name == allInstances {
		return nil, invalid("instance is missing: name the one to back up.")
	}
	return d.create(c, c.path["project"], name, intake.Create{Description: description.value, Location: location.value, ExpireTime: expire.or(time.Time{})})
}

// expiry reads ttlDays or expiryTime, of which one may be there.
func (d *Door) expiry(b *body) (member[time.Time], error) {
	ttl, at := b.int64("ttlDays"), b.time("expiryTime")
	switch {
	case ttl.given() && at.given():
		return at, invalid("ttlDays and expiryTime exclude each other.")
	case ttl.given() && (ttl.value < 1 || ttl.value > int64(maxExpiry/(24*time.Hour))):
		return at, invalid("ttlDays is 1 to 365.")
	case ttl.given():
		return member[time.Time]{present: true, value: d.now().Add(time.Duration(ttl.value) * 24 * time.Hour)}, nil
	case at.given() && (!at.value.After(d.now()) || at.value.Sub(d.now()) > maxExpiry):
		return at, invalid("expiryTime lies in the future, at most 365 days ahead.")
	}
	return at, nil
}

// getBackup is Backups.GetBackup (9).
func (d *Door) getBackup(c *call) (any, error) {
	b, err := d.backup(c)
	if err != nil {
		return nil, err
	}
	return c.links.backup(b), nil
}

var backupForm = regexp.MustCompile(`^bk_[a-z2-7]{26}$`)

// backup finds the one that a path names: the run of a window that was left out is none (B47), nor is one that is
// deleted.
func (d *Door) backup(c *call) (events.Backup, error) {
	id := c.path["backup"]
	if !backupForm.MatchString(id) {
		return events.Backup{}, errNoRun
	}
	b, err := d.intake.Backup(c.Context(), c.path["project"], id)
	if err == nil && backupState(b) == "" {
		err = errNoRun
	}
	return b, err
}

// backupFields are what a filter of listBackups may look at.
func backupFields(b backupResource, path string) (string, bool) {
	v, known := map[string]string{
		"type": b.Type, "instance": b.Instance, "location": b.Location, "state": b.State, "name": b.Name,
		"backupInterval.startTime": b.BackupInterval.StartTime, "backup_interval.start_time": b.BackupInterval.StartTime,
		"description": b.Description, "databaseVersion": b.DatabaseVersion,
	}[path]
	return v, known
}

// listBackups is Backups.ListBackups (9). A page may be short where the filter leaves backups out.
func (d *Door) listBackups(c *call) (any, error) {
	text := c.query.Get("filter")
	keep, err := filter.Parse(text, func(path string) bool { _, known := backupFields(backupResource{}, path); return known })
	if err != nil {
		return nil, invalid(err.Error() + ".")
	}
	cursor, limit, err := c.page("backups", text, pageSize)
	if err != nil {
		return nil, err
	}
	out := listBackupsResponse{}
	list, next, err := d.intake.Backups(c.Context(), c.path["project"], "", cursor, limit)
	if err != nil {
		return nil, err
	}
	for _, b := range list {
		shown := c.links.backup(b)
		if shown.State != "" && keep.Match(func(path string) (string, bool) { return backupFields(shown, path) }) {
			out.Backups = append(out.Backups, shown)
		}
	}
	out.NextPageToken = c.next("backups", text, next)
	return out, nil
}

// amendable are the paths of an updateMask, in both spellings (9).
var amendable = map[string]string{"description": "description", "ttlDays": "expiry", "ttl_days": "expiry", "expiryTime": "expiry", "expiry_time": "expiry"}

// updateBackup is Backups.UpdateBackup (9): description and retention. Cloud SQL allows it for final backups only;
// here every backup that has a copy, or will have one, may be kept longer.
func (d *Door) updateBackup(c *call) (any, error) {
	body, err := readBody(c.Body)
	if err != nil {
		return nil, err
	}
	description := body.text("description")
	expire, err := d.expiry(body)
	if err != nil {
		return nil, err
	}
	if err := body.err(); err != nil {
		return nil, err
	}
	masked, err := updateMask(c, description.present, expire.present)
	if err != nil {
		return nil, err
	}
	b, err := d.backup(c)
	if err != nil {
		return nil, err
	}
	ask := intake.Amend{Caller: c.caller(), Project: b.Project, BackupID: b.BackupID}
	if masked["description"] {
		ask.Description = &description.value
	}
	if masked["expiry"] {
		ask.ExpireTime = &expire.value
	}
	receipt, err := d.intake.Amend(c.Context(), ask)
	if err != nil {
		return nil, err
	}
	for _, op := range lifecycle.OperationsOf(receipt.Backup) {
		if op.Kind == lifecycle.Updating {
			return c.links.ofOperation(op), nil
		}
	}
	return nil, errNoOperation
}

// updateMask is what a body is to change: the mask's paths, or without one the members that are there.
func updateMask(c *call, description, expiry bool) (map[string]bool, error) {
	text := c.query.Get("updateMask")
	if text == "" {
		text = c.query.Get("update_mask")
	}
	if text == "" {
		return map[string]bool{"description": description, "expiry": expiry}, nil
	}
	out := map[string]bool{}
	for p := range strings.SplitSeq(text, ",") {
		what, ok := amendable[strings.TrimSpace(p)]
		if !ok {
			return nil, invalid("updateMask names description, ttl_days or expiry_time.")
		}
		out[what] = true
	}
	return out, nil
}

// deleteBackup is Backups.DeleteBackup (9).
func (d *Door) deleteBackup(c *call) (any, error) {
	b, err := d.backup(c)
	if err != nil {
		return nil, err
	}
	return d.remove(c, b, true)
}

// backupState is what a Backup shows; empty for a run that has none.
func backupState(b events.Backup) string {
	switch s := runStatus(b); s {
	case "DELETION_PENDING":
		return "DELETING"
	case "OVERDUE", "SKIPPED", "DELETED":
		return ""
	default:
		return s
	}
}
