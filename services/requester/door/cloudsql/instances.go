package cloudsql

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/door/filter"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// configured is an instance with the schedule that holds its backup configuration.
type configured struct {
	events.Instance
	automated  *events.Schedule // nil if it has none
	generation int              // of the schedule, also of one that was removed
}

func (d *Door) instance(c *call, project, name string) (configured, error) {
	i, err := d.intake.Instance(c.Context(), project, name)
	if err != nil {
		return configured{}, err
	}
	all, err := d.configured(c, i)
	if err != nil {
		return configured{}, err
	}
	return all[0], nil
}

// configured finds the schedules of instances of one project.
func (d *Door) configured(c *call, list ...events.Instance) ([]configured, error) {
	if len(list) == 0 {
		return nil, nil
	}
	project, names := list[0].Project, make([]string, len(list))
	for n, i := range list {
		names[n] = i.Instance
	}
	automated, err := d.intake.Automated(c.Context(), project, names...)
	if err != nil {
		return nil, err
	}
	without := slices.DeleteFunc(names, func(name string) bool { _, has := automated[name]; return has })
	removed := map[string]int{}
	if len(without) > 0 {
		if removed, err = d.intake.Generations(c.Context(), project, without...); err != nil {
			return nil, err
		}
	}
	out := make([]configured, len(list))
	for n, i := range list {
		out[n] = configured{Instance: i, generation: removed[i.Instance]}
		if s, has := automated[i.Instance]; has {
			out[n].automated, out[n].generation = &s, s.Generation
		}
	}
	return out, nil
}

func (i configured) facts() (f events.CloudSQLInstance) {
	if i.Config.CloudSQL != nil {
		f = *i.Config.CloudSQL
	}
	if f.InstanceType == "" {
		f.InstanceType = "CLOUD_SQL_INSTANCE"
	}
	if f.State == "" {
		f.State = "RUNNABLE"
	}
	return f
}

func (i configured) replica() bool {
	t := i.facts().InstanceType
	return t == "READ_REPLICA_INSTANCE" || t == "READ_POOL_INSTANCE"
}

// transitional tells a state that ends by itself, during which nothing is changed (B13). One that has stopped may be.
func (i configured) transitional() bool {
	return slices.Contains([]string{"PENDING_CREATE", "MAINTENANCE", "ONLINE_MAINTENANCE", "REPAIRING"}, i.facts().State)
}

// accepts refuses a backup of an instance that is no primary, or does not run (5.1, PD-15).
func (i configured) accepts() error {
	switch {
	case i.replica():
		return errReplica
	case i.settings().ActivationPolicy == never, i.facts().State != "RUNNABLE" && !i.transitional():
		return errNotRunning
	case i.transitional():
		return errState
	}
	return nil
}

// version is settings.settingsVersion: it grows with every change of the instance or of its configuration.
func (i configured) version() int { return i.Generation + i.generation }

// getInstance is instances.get (8).
func (d *Door) getInstance(c *call) (any, error) {
	i, err := d.instance(c, c.path["project"], c.path["instance"])
	if err != nil {
		return nil, err
	}
	return c.links.ofInstance(i), nil
}

// listInstances is instances.list (8). A page may be short where a filter leaves instances out.
func (d *Door) listInstances(c *call) (any, error) {
	keep, err := filter.Parse(c.query.Get("filter"), func(path string) bool {
		_, known := instanceField(databaseInstance{}, path)
		return known
	})
	if err != nil {
		return nil, invalid(err.Error() + ".")
	}
	cursor, limit, err := c.page("instances", c.query.Get("filter"), counts)
	if err != nil {
		return nil, err
	}
	project := c.path["project"]
	list, next, err := d.intake.Instances(c.Context(), project, cursor, limit)
	if err != nil {
		return nil, err
	}
	all, err := d.configured(c, list...)
	if err != nil {
		return nil, err
	}
	out := instancesList{Kind: "sql#instancesList", NextPageToken: c.next("instances", c.query.Get("filter"), next)}
	for _, i := range all {
		shown := c.links.ofInstance(i)
		if keep.Match(func(path string) (string, bool) { return instanceField(shown, path) }) {
			out.Items = append(out.Items, shown)
		}
	}
	return out, nil
}

// instanceField is what a filter may look at.
func instanceField(i databaseInstance, path string) (string, bool) {
	b := i.Settings.BackupConfiguration
	v, known := map[string]string{
		"name": i.Name, "project": i.Project, "region": i.Region, "state": i.State, "databaseVersion": i.DatabaseVersion,
		"instanceType": i.InstanceType, "backendType": i.BackendType, "connectionName": i.ConnectionName,
		"settings.tier": i.Settings.Tier, "settings.edition": i.Settings.Edition, "settings.activationPolicy": i.Settings.ActivationPolicy,
		"settings.backupConfiguration.enabled": strconv.FormatBool(b.Enabled), "settings.backupConfiguration.startTime": b.StartTime,
		"settings.backupConfiguration.location": b.Location,
	}[path]
	return v, known
}

// patchInstance is instances.patch (8): only what is named changes, and an explicit false is a name.
func (d *Door) patchInstance(c *call) (any, error) { return d.configure(c, patched) }

// updateInstance is instances.update (8): the settings as a whole, of the version that stands.
func (d *Door) updateInstance(c *call) (any, error) { return d.configure(c, updated) }

// configure changes the settings and answers with the operation, which the change has ended already.
func (d *Door) configure(c *call, how manner) (any, error) {
	project, name := c.path["project"], c.path["instance"]
	if name == allInstances {
		return nil, errDash
	}
	body, err := readBody(c.Body)
	if err != nil {
		return nil, err
	}
	change, err := readSettings(body.object("settings"), how)
	if err != nil {
		return nil, err
	}
	if how == updated && !change.version.given() {
		return nil, invalid("settings.settingsVersion is missing: read the instance and send the version that it has.")
	}
	apply := func(i configured) (events.ScheduleConfig, error) {
		if err := d.located(change.backup.location.value, i); err != nil {
			return events.ScheduleConfig{}, err
		}
		return change.apply(i)
	}
	before, err := d.instance(c, project, name)
	if err != nil {
		return nil, err
	}
	if _, err := apply(before); err != nil { // what is wrong in itself is said before what is in the way (3)
		return nil, err
	}
	s, err := d.intake.Plan(c.Context(), intake.Plan{
		Caller: c.caller(), Project: project, Instance: name, Name: events.Automated, WholeInstance: true,
		Change: func(i events.Instance, automated *events.Schedule) (events.ScheduleConfig, error) {
			now := configured{Instance: i, automated: automated, generation: before.generation}
			if automated != nil {
				now.generation = automated.Generation
			}
			return apply(now)
		},
	})
	if err != nil {
		return nil, err
	}
	return c.links.accepted(s), nil
}

// problems of instances.
var (
	errState      = &apiError{code: http.StatusConflict, reason: "invalidState", message: "The instance or operation is not in an appropriate state to handle the request."}
	errNotRunning = invalid("The instance is not running.")
	errReplica    = &apiError{code: http.StatusBadRequest, reason: "errorReplicaInvalidOperation", message: "The operation isn't valid for a read replica: back up its primary."}
	errNoBackups  = &apiError{code: http.StatusBadRequest, reason: "errorDisallowedEnablingBackupsForReadReplica", message: "Backups cannot be enabled on a read replica: enable them on its primary."}
	errStale      = &apiError{code: http.StatusPreconditionFailed, reason: "staleData", message: "Condition does not match.", location: "If-Match"}
)
