package gaussdb

import (
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// instance is the one that the path names.
func (d *Door) instance(c *call) (events.Instance, error) {
	id := c.path["instance"]
	if !instanceForm.MatchString(id) {
		return events.Instance{}, errInstanceID
	}
	return d.intake.InstanceByGaussDB(c.Context(), c.project(), id)
}

// What an instance's facts, which are in Cloud SQL's words, mean here.
func stateOf(i events.Instance) string {
	if i.Config.CloudSQL == nil || i.Config.CloudSQL.State == "" {
		return "RUNNABLE"
	}
	return i.Config.CloudSQL.State
}

func isFrozen(i events.Instance) bool { return stateOf(i) == "SUSPENDED" } // its account owes money

func isReplica(i events.Instance) bool {
	return i.Config.CloudSQL != nil && slices.Contains([]string{"READ_REPLICA_INSTANCE", "READ_POOL_INSTANCE"}, i.Config.CloudSQL.InstanceType)
}

// accepts refuses a backup of an instance that cannot have one now (8, rows 23 and 24).
func (d *Door) accepts(c *call, i events.Instance) error {
	s, err := d.automated(c, i)
	switch {
	case err != nil:
		return err
	case isFrozen(i):
		return errFrozen
	case isReplica(i):
		return errType
	case stateOf(i) != "RUNNABLE", s != nil && s.Config.CloudSQL != nil && s.Config.CloudSQL.ActivationPolicy == "NEVER":
		return errBusy
	}
	return nil
}

// showInstance is ShowGaussMySqlInstanceInfo (4.9), as far as backups need it.
func (d *Door) showInstance(c *call) (any, error) {
	in, err := d.instance(c)
	if err != nil {
		return nil, err
	}
	p, err := d.policy(c, in)
	if err != nil {
		return nil, err
	}
	status, err := d.instanceStatus(c, in)
	if err != nil {
		return nil, err
	}
	created := stamp(in.CreateTime.Time)
	return shownInstance{instance{
		ID: in.IDs.GaussDB, Name: in.Instance, Status: status, ProjectID: in.Project, Type: "Cluster", Port: portOf(in), NodeCount: 1,
		Datastore: datastoreOf(in.Provider, in.Config.Engine, in.Config.EngineVersion),
		Strategy:  backupStrategy{StartTime: p.window(), KeepDays: strconv.Itoa(p.keepDays)},
		Created:   created, Updated: created, Nodes: []struct{}{},
	}}, nil
}

func (d *Door) instanceStatus(c *call, in events.Instance) (string, error) {
	busy, err := d.intake.Occupation(c.Context(), in)
	switch {
	case err != nil:
		return "", err
	case busy == intake.BackingUp:
		return "BACKING UP", nil
	case busy == intake.Restoring:
		return "RESTORING", nil
	case isFrozen(in):
		return "FROZEN", nil
	case stateOf(in) == "FAILED":
		return "FAILED", nil
	case stateOf(in) != "RUNNABLE", busy != intake.Free:
		return "MODIFYING", nil
	}
	return "ACTIVE", nil
}

// portOf is the port of a server; of what has none, the vendor's.
func portOf(in events.Instance) string {
	if _, port, err := net.SplitHostPort(in.Config.Address); err == nil {
		return port
	}
	return "3306"
}

// maxMoments bounds an answer of restore times.
const maxMoments = 1000

// showRestoreTime is ShowBackupRestoreTime (4.7). What can be put back here are backups, so each is a window of its
// own that ends when it begins: nothing is promised of the time between two. The newest maxMoments are shown.
func (d *Door) showRestoreTime(c *call) (any, error) {
	if !instanceForm.MatchString(c.path["instance"]) {
		return nil, errInstanceID
	}
	from, to, err := c.query.span()
	if err != nil {
		return nil, err
	}
	in, err := d.instance(c)
	if err != nil {
		return nil, err
	}
	list, err := d.intake.Restorable(c.Context(), in.Project, in.Instance, from, to, maxMoments)
	if err != nil {
		return nil, err
	}
	out := restoreTimes{Times: []restoreTime{}}
	for _, at := range list {
		out.Times = append(out.Times, restoreTime{Start: at.UnixMilli(), End: at.UnixMilli()})
	}
	return out, nil
}

// span reads a day, or else a start and an end in Unix milliseconds.
func (q query) span() (from, to time.Time, err error) {
	if date := q.get("date"); date != "" {
		if from, err = time.Parse(time.DateOnly, date); err != nil {
			return from, to, errParameter
		}
		return from, from.AddDate(0, 0, 1).Add(-time.Millisecond), nil
	}
	start, end := q.get("start_time"), q.get("end_time")
	if start == "" && end == "" {
		return from, to, nil
	}
	if start == "" || end == "" {
		return from, to, errParameter
	}
	first, err := q.number("start_time", 0)
	if err != nil {
		return from, to, err
	}
	last, err := q.number("end_time", 0)
	if err != nil || last < first {
		return from, to, errParameter
	}
	return time.UnixMilli(int64(first)), time.UnixMilli(int64(last)), nil
}
