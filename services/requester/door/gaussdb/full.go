package gaussdb

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// maxFull bounds the backups of an instance that listFull reads to sort or to filter them.
const (
	maxFull    = 5000
	readAtOnce = 1000
)

// orders are the fields that a list of full backups may be sorted by, ascending.
var orders = map[string]func(a, b events.Backup) int{
	"name":      func(a, b events.Backup) int { return strings.Compare(lifecycle.ListedName(a), lifecycle.ListedName(b)) },
	"beginTime": func(a, b events.Backup) int { return lifecycle.Begun(a).Compare(lifecycle.Begun(b)) },
	"type":      func(a, b events.Backup) int { return strings.Compare(typeOf(a), typeOf(b)) },
}

// listFull is ShowInstanceBackups (4.10), newest first unless it is asked otherwise. It shows what is being deleted
// too. By time it is read by rank; any other order, and a filter, reads all backups of the instance: where those are
// more than maxFull, errParameter says that no repetition helps.
func (d *Door) listFull(c *call) (any, error) {
	if !instanceForm.MatchString(c.path["instance"]) {
		return nil, errInstanceID
	}
	offset, limit, err := c.query.page()
	if err != nil {
		return nil, err
	}
	o, err := c.query.ordering()
	if err != nil {
		return nil, err
	}
	in, err := d.instance(c)
	if err != nil {
		return nil, err
	}
	read := d.sorted
	if o.byTime() {
		read = d.ranked
	}
	list, total, err := read(c, in.Instance, o, offset, limit)
	if err != nil {
		return nil, err
	}
	out := fullList{Backups: []fullBackup{}, TotalCount: strconv.Itoa(total)}
	for _, b := range list {
		out.Backups = append(out.Backups, fullOf(b))
	}
	return out, nil
}

// sorted is a page of all backups of an instance, read one and all.
func (d *Door) sorted(c *call, instance string, o ordering, offset, limit int) ([]events.Backup, int, error) {
	var all []events.Backup
	read := 0
	for cursor := ""; ; {
		list, next, err := d.intake.Backups(c.Context(), c.project(), instance, cursor, readAtOnce)
		if err != nil {
			return nil, 0, err
		}
		if read += len(list); read > maxFull {
			return nil, 0, errParameter
		}
		for _, b := range list {
			if (lifecycle.Listed(b) || goes(b)) && o.keep(b) {
				all = append(all, b)
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	slices.SortFunc(all, o.compare)
	return all[min(offset, len(all)):min(offset+limit, len(all))], len(all), nil
}

func goes(b events.Backup) bool { return lifecycle.PhaseOf(b) == lifecycle.Deleting }

// ranked is a page of the backups of an instance by time: that of its numbered list, with the few among them that are
// being deleted and stand in no numbered list. Those are at most so many ranks ahead of where the page begins.
func (d *Door) ranked(c *call, instance string, o ordering, offset, limit int) ([]events.Backup, int, error) {
	active, err := d.intake.Active(c.Context(), c.project(), instance)
	if err != nil {
		return nil, 0, err
	}
	going := slices.DeleteFunc(active, func(b events.Backup) bool { return !goes(b) })
	l := lifecycle.Listing{Instance: instance}
	_, total, err := d.intake.Listed(c.Context(), c.project(), l, 0, 0)
	if err != nil {
		return nil, 0, err
	}
	all := total + len(going)
	newest := offset // rank of the page's newest, in the whole list from the newest on
	if o.sign > 0 {
		newest = all - offset - limit
	}
	limit = min(limit, limit+min(newest, 0))
	newest = max(newest, 0)
	if limit <= 0 || offset >= all {
		return nil, all, nil
	}
	before := max(0, newest-len(going))
	list, _, err := d.intake.Listed(c.Context(), c.project(), l, before, limit+len(going))
	if err != nil {
		return nil, 0, err
	}
	newestFirst := ordering{by: o.by, sign: -1}
	for _, b := range going {
		switch {
		case slices.ContainsFunc(list, func(other events.Backup) bool { return other.BackupID == b.BackupID }): // it began to go meanwhile
		case before > 0 && len(list) > 0 && newestFirst.compare(b, list[0]) < 0:
			before++
		default:
			list = append(list, b)
		}
	}
	slices.SortFunc(list, newestFirst.compare)
	from := min(max(0, newest-before), len(list))
	list = list[from:min(from+limit, len(list))]
	if o.sign > 0 {
		slices.Reverse(list)
	}
	return list, all, nil
}

// ordering is how a list of full backups is sorted and filtered.
type ordering struct {
	by      func(a, b events.Backup) int
	sign    int
	field   string
	filter  bool
	content string // of the name
}

func (o ordering) byTime() bool { return o.field == "beginTime" && !o.filter }

// compare breaks ties by id, so that pages are stable.
func (o ordering) compare(a, b events.Backup) int {
	return cmp.Or(o.sign*o.by(a, b), strings.Compare(a.IDs.GaussDB, b.IDs.GaussDB))
}

func (o ordering) keep(b events.Backup) bool {
	return !o.filter || strings.Contains(lifecycle.ListedName(b), o.content)
}

// ordering reads how a list of full backups is sorted and filtered.
func (q query) ordering() (o ordering, err error) {
	o = ordering{field: cmp.Or(q.get("order_field"), "beginTime"), sign: -1, filter: q.get("filter_field") != "", content: q.get("filter_content")}
	o.by = orders[o.field]
	rule := q.get("order_rule")
	switch {
	case o.by == nil, rule != "" && rule != "asc" && rule != "desc", o.filter && q.get("filter_field") != "name":
		return o, errParameter
	case rule == "asc", rule == "" && q.get("order_field") != "":
		o.sign = 1
	}
	return o, nil
}

func fullOf(b events.Backup) fullBackup {
	h := headOf(b)
	out := fullBackup{ID: h.ID, Description: h.Description, InstanceID: h.InstanceID, InstanceName: b.Instance, Name: h.Name,
		Size: strconv.FormatInt(units(b, kilobyte), 10), SizeUnit: "KB", Status: h.Status, Created: h.BeginTime, Updated: stamp(ended(b)),
		BackupType: "Db", BackupLevel: levelOf(b), BackupMethod: "Db", TimeZone: "UTC+00:00"}
	if b.BackupKind == "SNAPSHOT" {
		out.BackupType, out.BackupMethod = "Snapshot", "Snapshot"
	}
	if out.BackupLevel == "0" {
		out.BackupLevel = "" // this list knows 1 and 2 only
	}
	if out.Updated == "" {
		out.Updated = out.Created
	}
	if goes(b) {
		out.Status = deleting
	}
	return out
}

// listIncremental is ShowGaussMySqlIncrementalBackupList (4.10). No provider makes incremental backups, so there are
// none; what is asked for is checked all the same.
func (d *Door) listIncremental(c *call) (any, error) {
	if !instanceForm.MatchString(c.path["instance"]) {
		return nil, errInstanceID
	}
	if limit := c.query.get("limit"); limit != "" && !slices.Contains([]string{"10", "20", "50"}, limit) {
		return nil, errLimit
	}
	if _, err := c.query.number("offset", 0); err != nil {
		return nil, errParameter
	}
	if (c.query.get("begin_time") == "") != (c.query.get("end_time") == "") {
		return nil, errParameter
	}
	if _, err := c.query.listing(); err != nil {
		return nil, err
	}
	if _, err := d.instance(c); err != nil {
		return nil, err
	}
	return incrementalList{Backups: []struct{}{}}, nil
}
