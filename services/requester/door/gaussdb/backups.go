package gaussdb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

var (
	instanceForm = regexp.MustCompile(`^([0-9A-Za-z]{32}[a-z]{2}[0-9]{2}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$`) // 2.2
	nameForm     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{3,63}$`)                                                          // 4.1
	wideNameForm = regexp.MustCompile(`^[A-Za-z\p{Han}][A-Za-z0-9_\p{Han}-]*$`)
)

// Bounds of the vendor's (4.1, 4.4).
const (
	maxDescription = 256 // characters
	maxNameBytes   = 64  // where Chinese letters are allowed
	minName        = 4
	maxBatch       = 50
)

func (d *Door) isName(s string) bool {
	if events.HasSecret(s) { // it would stand in every list
		return false
	}
	if d.c.ChineseNames {
		return wideNameForm.MatchString(s) && utf8.RuneCountInString(s) >= minName && len(s) <= maxNameBytes
	}
	return nameForm.MatchString(s)
}

func isDescription(s string) bool {
	return utf8.RuneCountInString(s) <= maxDescription && !strings.ContainsAny(s, ">!<\"&'=\r\n") && !events.HasSecret(s)
}

// createBackup is CreateGaussMySqlBackup (4.1).
func (d *Door) createBackup(c *call) (any, error) {
	body, err := readObject(c.body)
	if err != nil {
		return nil, err
	}
	id, name, description := body.text("instance_id"), body.text("name"), body.text("description")
	switch {
	case body.wrong:
		return nil, errParameter
	case id == "" || name == "":
		return nil, errNull
	case !instanceForm.MatchString(id):
		return nil, errInstanceID
	case !d.isName(name):
		return nil, errName
	case !isDescription(description):
		return nil, errDescription
	}
	in, err := d.intake.InstanceByGaussDB(c.Context(), c.project(), id)
	if err != nil {
		return nil, err
	}
	if err := d.accepts(c, in); err != nil {
		return nil, err
	}
	receipt, err := d.intake.Create(c.Context(), intake.Create{Caller: c.caller(), Project: c.project(), Instance: in.Instance, Name: name, Description: description})
	if err != nil {
		return nil, d.occupied(c, err)
	}
	h := headOf(receipt.Backup)
	h.Status = building // as it was accepted, whatever has become of it since
	return createdBackup{Backup: h, JobID: receipt.Backup.IDs.Operation}, nil
}

// occupied tells a backup that is being made from whatever else an instance may be busy with (8, rows 22 and 23).
func (d *Door) occupied(c *call, err error) error {
	var e *intake.Error
	if !errors.As(err, &e) || e.Reason != intake.PendingBackupExists || e.Existing == "" {
		return err
	}
	other, rerr := d.intake.Backup(c.Context(), c.project(), e.Existing)
	if rerr != nil || lifecycle.PhaseOf(other) == lifecycle.Deleting {
		return errBusy
	}
	return errBackingUp // also where it has ended by now: the client tries again
}

// listBackups is ShowGaussMySqlBackupList (4.2). A name together with an instance or a type has to read the backups that
// it is looked for among: where those are more than 5,000, errParameter says that no repetition helps.
func (d *Door) listBackups(c *call) (any, error) {
	offset, limit, err := c.query.page()
	if err != nil {
		return nil, err
	}
	l, err := c.query.listing()
	if err != nil {
		return nil, err
	}
	out := backupList{Backups: []backup{}}
	if id := c.query.get("instance_id"); id != "" {
		name, err := d.intake.InstanceName(c.Context(), c.project(), id)
		if err != nil && convertError(err) != errNoInstance {
			return nil, err
		}
		if err != nil || l.Instance != "" && l.Instance != name { // a filter: what is not there has no backups
			return out, nil
		}
		l.Instance = name
	}
	list, total, err := d.page(c, l, offset, limit)
	if err != nil {
		return nil, err
	}
	out.TotalCount = total
	for _, b := range list {
		if lifecycle.Listed(b) { // it may go while the list is read
			out.Backups = append(out.Backups, d.backup(b))
		}
	}
	return out, nil
}

// page is what a list shows: of one backup where that is named, whatever else it is filtered by.
func (d *Door) page(c *call, l lifecycle.Listing, offset, limit int) ([]events.Backup, int, error) {
	id := c.query.get("backup_id")
	if id == "" {
		return d.intake.Listed(c.Context(), c.project(), l, offset, limit)
	}
	b, err := d.intake.BackupByGaussDB(c.Context(), c.project(), id)
	switch {
	case err != nil && convertError(err) != errNoBackup:
		return nil, 0, err
	case err != nil || !l.Matches(b):
		return nil, 0, nil
	case offset > 0:
		return nil, 1, nil
	}
	return []events.Backup{b}, 1, nil
}

// listing reads the filters of a list but those that are ids.
func (q query) listing() (l lifecycle.Listing, err error) {
	switch q.get("backup_type") {
	case "":
	case auto:
		l.Trigger = events.Scheduled
	case manual:
		l.Trigger = events.OnDemand
	default:
		return l, errParameter
	}
	l.Name, l.Instance = q.get("name"), q.get("instance_name")
	from, to := q.get("begin_time"), q.get("end_time")
	first, fromOK := parseTime(from)
	last, toOK := parseTime(to)
	switch {
	case from != "" && !fromOK, to != "" && !toOK, from != "" && to != "" && !last.After(first):
		return l, errTime
	}
	if from != "" {
		l.From = sinceUnix(first)
	}
	if to != "" {
		l.To = sinceUnix(last)
	}
	return l, nil
}

// sinceUnix keeps a bound apart from none, which is the zero time: nothing began before 1970.
func sinceUnix(t time.Time) time.Time { return time.Unix(max(t.Unix(), 0), 0) }

// deletable finds the backup that a deletion names, or says why there is none for it (8, rows 31 to 33).
func (d *Door) deletable(c *call, id string) (events.Backup, error) {
	b, err := d.intake.BackupByGaussDB(c.Context(), c.project(), id)
	switch {
	case err != nil:
		return b, err
	case !lifecycle.Listed(b):
		return b, errNoBackup
	case lifecycle.InTheMaking(b), b.Trigger == events.Scheduled:
		return b, errBackupState
	}
	return b, nil
}

func (d *Door) remove(c *call, id string) (events.Backup, error) {
	b, err := d.deletable(c, id)
	if err != nil {
		return b, err
	}
	_, err = d.intake.Delete(c.Context(), intake.Change{Caller: c.caller(), Project: b.Project, BackupID: b.BackupID})
	if err != nil {
		if _, now := d.deletable(c, id); now != nil { // another one may have been faster
			return b, now
		}
	}
	return b, err
}

// deleteBackup is DeleteGaussMySqlBackup (4.3). A body is ignored: Terraform sends one.
func (d *Door) deleteBackup(c *call) (any, error) {
	b, err := d.remove(c, c.path["backup"])
	if err != nil {
		return nil, err
	}
	return deletedBackup{ID: b.IDs.GaussDB, Name: lifecycle.ListedName(b)}, nil
}

// deleteBackups is BatchDeleteBackup (4.4).
func (d *Door) deleteBackups(c *call) (any, error) {
	body, err := readObject(c.body)
	if err != nil {
		return nil, err
	}
	var ids []*string
	body.into("backup_ids", &ids)
	switch {
	case body.wrong:
		return nil, errParameter
	case len(ids) == 0:
		return nil, errNull
	case len(ids) > maxBatch:
		return nil, errParameter
	}
	for _, id := range ids {
		if id == nil {
			return nil, errParameter
		}
	}
	var once []string
	for _, id := range ids {
		if !slices.Contains(once, *id) {
			once = append(once, *id)
		}
	}
	return d.removeAll(c, once)
}

// A batch is worked on a few at a time: each deletion waits until the view shows it (4.3), or until that has taken too
// long. What is not done by the end of batchIn has failed.
const (
	batchAtOnce = 10
	batchIn     = 30 * time.Second
)

// removeAll answers with an error only if the service failed and nothing is deleted: otherwise the client has to know
// what is, and the log gets what failed.
func (d *Door) removeAll(c *call, ids []string) (any, error) {
	ctx, cancel := context.WithTimeout(c.Context(), batchIn)
	defer cancel()
	within := *c
	within.Request = c.WithContext(ctx)
	errs, turns, wg := make([]error, len(ids)), make(chan struct{}, batchAtOnce), sync.WaitGroup{}
	for n, id := range ids {
		turns <- struct{}{}
		wg.Go(func() {
			_, errs[n] = d.remove(&within, id)
			<-turns
		})
	}
	wg.Wait()
	out := deletedBackups{Failed: []failedDeletion{}}
	var faults []error
	for n, err := range errs {
		if err == nil {
			out.SuccessCount++
			continue
		}
		e := convertError(err)
		if e.status >= http.StatusInternalServerError {
			faults = append(faults, fmt.Errorf("delete %s: %w", events.Clip(events.Redact(ids[n]), 64), err))
		}
		out.Failed = append(out.Failed, failedDeletion{ids[n], e.code, e.text(language(c.Request))})
		out.FailedCount++
	}
	if len(faults) > 0 && out.SuccessCount == 0 {
		return nil, errors.Join(faults...)
	}
	for _, err := range faults {
		d.failed(c, err)
	}
	return out, nil
}
