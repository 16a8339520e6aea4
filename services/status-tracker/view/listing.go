package view

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// The numbered lists are sets whose byte order is that of gaussdb.md 4.2: when a backup began, descending, then
// GaussDB's id, ascending. A count and a page are then a matter of ranks, however deep the page is.

// listed adds a backup to the lists that show it: those of its trigger, as all triggers are two sets together. All names
// share one set, each with its members together: a set of its own per name would cost a key per backup, as most names
// differ.
func (e entries) listed(shard int, b events.Backup) {
	if !lifecycle.Listed(b) {
		return
	}
	m := listedMember(b)
	for _, instance := range []string{"", b.Instance} {
		e.add(listedKey(shard, b.Project, instance, b.Trigger), m)
	}
	e.add(setKey(shard, namedOf, b.Project), named(lifecycle.ListedName(b))+m)
}

// everything stands for an instance that is not selected; no name's token is like it.
const everything = "_"

func listedKey(shard int, project, instance string, t events.Trigger) string {
	of := everything
	if instance != "" {
		of = escaped(instance)
	}
	return setKey(shard, listedOf, project) + ":" + of + ":" + string(t)
}

// listedKeys are the sets of a selection.
func listedKeys(shard int, project string, l lifecycle.Listing) (keys []string) {
	for _, t := range []events.Trigger{events.OnDemand, events.Scheduled} {
		if l.Trigger == "" || l.Trigger == t {
			keys = append(keys, listedKey(shard, project, l.Instance, t))
		}
	}
	return keys
}

func named(name string) string { return escaped(name) + "." }

// listedMember ends in GaussDB's id, not ours: it is what sorts, and finds a backup as well.
func listedMember(b events.Backup) string {
	return fromNewest(lifecycle.Begun(b)) + "." + shortGauss(b.IDs.GaussDB)
}

// shortGauss is as much of an id as tells backups apart: half of a digest. Members and refs are many.
func shortGauss(id string) string { return id[:min(16, len(id))] }

// lastSecond is the last of seven digits to the base 36, in the year 4453.
const lastSecond = 36*36*36*36*36*36*36 - 1

// fromNewest is a moment in seconds, counted back from lastSecond: what began later sorts first.
func fromNewest(t time.Time) string {
	digits := strconv.FormatInt(lastSecond-min(max(t.Unix(), 0), lastSecond), 36)
	return "0000000"[len(digits):] + digits
}

// part is the members of sets that lie strictly between two bounds.
type part struct {
	sets          []string
	after, before string
}

// within is the part of sets, or of what begins with a prefix in them, that a listing's times leave.
func within(sets []string, prefix string, l lifecycle.Listing) part {
	p := part{sets: sets, after: prefix}
	if prefix != "" {
		p.before = strings.TrimSuffix(prefix, ".") + "/" // the byte after the point
	}
	if !l.To.IsZero() {
		p.after = prefix + fromNewest(l.To)
	}
	if !l.From.IsZero() {
		p.before = prefix + fromNewest(l.From) + "/"
	}
	return p
}

// Listed implements Reader. A selection by instance and trigger, or by name alone, is a part of one set, with the cost
// of Store.Page. One by name and something else reads the records of the smaller of the two parts that it is the
// intersection of, up to maxRead of them.
func (v *View) Listed(ctx context.Context, project string, l lifecycle.Listing, offset, limit int) ([]events.Backup, int, error) {
	s := v.shard(project)
	p := within(listedKeys(s, project, l), "", l)
	if l.Name != "" {
		byName := within([]string{setKey(s, namedOf, project)}, named(l.Name), l)
		if l.Instance != "" || l.Trigger != "" {
			return v.intersection(ctx, project, l, p, byName, offset, limit)
		}
		p = byName
	}
	members, total, err := v.rankedPage(ctx, p, offset, limit)
	if err != nil {
		return nil, 0, err
	}
	list, err := v.members(ctx, project, members)
	return list, total, err
}

func (v *View) rankedPage(ctx context.Context, p part, offset, limit int) ([]string, int, error) {
	return v.store.Page(ctx, p.sets, p.after, p.before, offset, limit)
}

// members are the backups that the members of a numbered list name.
func (v *View) members(ctx context.Context, project string, members []string) ([]events.Backup, error) {
	if len(members) == 0 {
		return nil, nil
	}
	keys := make([]string, len(members))
	for n, m := range members {
		keys[n] = refKey(v.shard(project), byGaussDB, project, idOf(m))
	}
	found, err := v.store.Get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	return many[events.Backup](ctx, v, project, events.Backups, texts(found))
}

// maxRead bounds the records that are read for one intersection, readAtOnce those of one call.
const (
	maxRead    = 5000
	readAtOnce = 1000
)

// intersection reads the members of the smaller part in one step, so that none is missed or seen twice.
func (v *View) intersection(ctx context.Context, project string, l lifecycle.Listing, p, byName part, offset, limit int) (list []events.Backup, total int, err error) {
	_, n, err := v.rankedPage(ctx, p, 0, 0)
	if err != nil {
		return nil, 0, err
	}
	_, m, err := v.rankedPage(ctx, byName, 0, 0)
	if err != nil {
		return nil, 0, err
	}
	if m < n {
		p = byName
	}
	members, n, err := v.rankedPage(ctx, p, 0, maxRead)
	if err != nil {
		return nil, 0, err
	}
	if n > maxRead {
		return nil, 0, fmt.Errorf("%d backups to look at: %w", n, lifecycle.ErrTooMany)
	}
	for some := range slices.Chunk(members, readAtOnce) {
		read, err := v.members(ctx, project, some)
		if err != nil {
			return nil, 0, err
		}
		for _, b := range read {
			if !l.Matches(b) {
				continue
			}
			if total++; total > offset && len(list) < limit {
				list = append(list, b)
			}
		}
	}
	return list, total, nil
}

// BackupByGaussDB implements Reader.
func (v *View) BackupByGaussDB(ctx context.Context, project, id string) (events.Backup, error) {
	ref, err := v.ref(ctx, refKey(v.shard(project), byGaussDB, project, shortGauss(id)))
	if err != nil {
		return events.Backup{}, err
	}
	b, err := v.Backup(ctx, project, ref)
	if err == nil && b.IDs.GaussDB != id {
		return events.Backup{}, events.ErrNotFound
	}
	return b, err
}

// InstanceNameByGaussDB implements Reader.
func (v *View) InstanceNameByGaussDB(ctx context.Context, project, id string) (string, error) {
	return v.ref(ctx, refKey(v.shard(project), byGaussInst, project, id))
}

// Restorable implements Reader: the members of goodOf begin with the moment.
func (v *View) Restorable(ctx context.Context, project, instance string, from, to time.Time, limit int) ([]time.Time, error) {
	r := Range{Reverse: true, Limit: limit}
	if !from.IsZero() {
		r.After = moment(from)
	}
	if !to.IsZero() {
		r.Before = moment(to) + "/"
	}
	members, err := v.store.Range(ctx, setKey(v.shard(project), goodOf, project, instance), r)
	if err != nil {
		return nil, err
	}
	out := make([]time.Time, len(members))
	for i, m := range members {
		digits, _, _ := strings.Cut(m, ".")
		ms, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return nil, errors.New("the view holds a copy of no time")
		}
		out[len(members)-1-i] = time.UnixMilli(ms).UTC()
	}
	return out, nil
}

// moment is the form in which sets sort by time.
func moment(t time.Time) string { return fmt.Sprintf("%015d", max(t.UnixMilli(), 0)) }
