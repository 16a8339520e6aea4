package cloudsql

import (
	"net/http"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// The legacy version (cloudsql.md 10): it reads what the schedule made, by configuration and due time, and has
// shapes of its own.

type legacyRun struct {
	Kind                string       `json:"kind"` // sql#backupRun
	Instance            string       `json:"instance"`
	BackupConfiguration string       `json:"backupConfiguration"`
	DueTime             string       `json:"dueTime"`
	Status              string       `json:"status"`
	EnqueuedTime        string       `json:"enqueuedTime,omitempty"`
	StartTime           string       `json:"startTime,omitempty"`
	EndTime             string       `json:"endTime,omitempty"`
	Error               *legacyError `json:"error,omitempty"` // only with FAILED
}

type legacyError struct {
	Kind string `json:"kind"` // sql#operationError
	Code string `json:"code"`
}

type legacyRunsList struct {
	Kind          string      `json:"kind"` // sql#backupRunsList
	Items         []legacyRun `json:"items,omitempty"`
	NextPageToken string      `json:"nextPageToken,omitempty"`
}

type legacyInstance struct {
	Kind            string         `json:"kind"` // sql#instance
	Instance        string         `json:"instance"`
	Project         string         `json:"project"`
	Region          string         `json:"region,omitempty"`
	State           string         `json:"state"`
	DatabaseVersion string         `json:"databaseVersion,omitempty"`
	Settings        legacySettings `json:"settings"`
}

type legacySettings struct {
	Kind                string                `json:"kind"` // sql#settings
	Tier                string                `json:"tier,omitempty"`
	ActivationPolicy    string                `json:"activationPolicy"`
	BackupConfiguration []legacyConfiguration `json:"backupConfiguration"`
}

type legacyConfiguration struct {
	Kind             string `json:"kind"` // sql#backupConfiguration
	ID               string `json:"id"`
	Enabled          bool   `json:"enabled"`
	StartTime        string `json:"startTime,omitempty"`
	BinaryLogEnabled bool   `json:"binaryLogEnabled"`
}

type legacyOperation struct {
	Kind             string        `json:"kind"` // sql#instanceOperation
	Operation        string        `json:"operation"`
	OperationType    string        `json:"operationType"`
	State            string        `json:"state"`
	EnqueuedTime     string        `json:"enqueuedTime,omitempty"`
	StartTime        string        `json:"startTime,omitempty"`
	EndTime          string        `json:"endTime,omitempty"`
	Error            []legacyError `json:"error,omitempty"`
	Instance         string        `json:"instance"`
	UserEmailAddress string        `json:"userEmailAddress,omitempty"`
}

type legacyOperationsList struct {
	Kind          string            `json:"kind"` // sql#instanceOperationsList
	Items         []legacyOperation `json:"items,omitempty"`
	NextPageToken string            `json:"nextPageToken,omitempty"`
}

// getLegacyRun finds a run by its configuration and its due time, to the second.
func (d *Door) getLegacyRun(c *call) (any, error) {
	text := c.query.Get("dueTime")
	if text == "" {
		return nil, missing("dueTime")
	}
	due, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return nil, invalid("dueTime is a time as 2026-05-04T13:00:00Z.")
	}
	_, s, err := d.legacyConfiguration(c, c.path["backupConfiguration"])
	if err != nil {
		return nil, err
	}
	for _, off := range []time.Duration{0, -time.Second, time.Second} {
		b, err := d.intake.BackupDue(c.Context(), s, due.Truncate(time.Second).Add(off))
		if err == nil && legacyStatus(b) != "" {
			return ofLegacyRun(b), nil
		}
		if err != nil && convertError(err) != errNoRun {
			return nil, err
		}
	}
	return nil, errNoRun
}

// legacyConfiguration is an instance whose configuration has that id, which is a function of its name.
func (d *Door) legacyConfiguration(c *call, id string) (events.Instance, events.Schedule, error) {
	i, err := d.intake.Instance(c.Context(), c.path["project"], c.path["instance"])
	if err != nil {
		return i, events.Schedule{}, err
	}
	s, err := configured{Instance: i}.schedule()
	if err == nil && s.ScheduleID != id {
		err = errNoRun
	}
	return i, s, err
}

func missing(parameter string) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "required", message: "Required parameter: " + parameter, status: "INVALID_ARGUMENT"}
}

// maxTurns bounds how many pages of runs are looked through for one page of those that this version shows.
const maxTurns = 50

// listLegacyRuns lists the runs of a configuration. A page may be short where most runs are not of it.
func (d *Door) listLegacyRuns(c *call) (any, error) {
	id := c.query.Get("backupConfiguration")
	if id == "" {
		return nil, missing("backupConfiguration")
	}
	cursor, limit, err := c.page("v1beta3 runs", id, results)
	if err != nil {
		return nil, err
	}
	i, _, err := d.legacyConfiguration(c, id)
	if err != nil {
		return nil, err
	}
	out := legacyRunsList{Kind: "sql#backupRunsList"}
	for range maxTurns {
		var list []events.Backup
		if list, cursor, err = d.intake.Backups(c.Context(), i.Project, i.Instance, cursor, limit-len(out.Items)); err != nil {
			return nil, err
		}
		for _, b := range list {
			if b.ScheduleID == id && legacyStatus(b) != "" {
				out.Items = append(out.Items, ofLegacyRun(b))
			}
		}
		if cursor == "" || len(out.Items) == limit {
			break
		}
	}
	out.NextPageToken = c.next("v1beta3 runs", id, cursor)
	return out, nil
}

// legacyStatus has no words for what is going or gone; empty for those.
func legacyStatus(b events.Backup) string {
	switch s := runStatus(b); s {
	case "DELETION_PENDING", "DELETION_FAILED", "DELETED":
		return ""
	default:
		return s
	}
}

func ofLegacyRun(b events.Backup) legacyRun {
	r := legacyRun{
		Kind: "sql#backupRun", Instance: b.Instance, BackupConfiguration: b.ScheduleID,
		DueTime: b.WindowStartTime.UTC().Truncate(time.Second).Format(time.RFC3339), Status: legacyStatus(b),
		EnqueuedTime: stamp(b.EnqueuedTime), StartTime: stamp(b.StartTime), EndTime: stamp(b.EndTime),
	}
	if f := runFailure(b); f != nil {
		r.Error = &legacyError{Kind: "sql#operationError", Code: failure(f).Code}
	}
	return r
}

func (d *Door) getLegacyInstance(c *call) (any, error) {
	i, err := d.instance(c, c.path["project"], c.path["instance"])
	if err != nil {
		return nil, err
	}
	out := legacyInstance{
		Kind: "sql#instance", Instance: i.Instance.Instance, Project: i.Project, Region: i.Config.Region, State: i.facts().State,
		DatabaseVersion: databaseVersion(i.Config.Engine, i.Config.EngineVersion),
		Settings:        legacySettings{Kind: "sql#settings", Tier: i.settings().Tier, ActivationPolicy: i.settings().ActivationPolicy},
	}
	s, err := i.schedule()
	if err != nil {
		return nil, err
	}
	out.Settings.BackupConfiguration = []legacyConfiguration{{Kind: "sql#backupConfiguration", ID: s.ScheduleID, Enabled: !i.configuration().Paused,
		StartTime: startOf(i.configuration()), BinaryLogEnabled: i.settings().BinaryLogEnabled}}
	return out, nil
}

func (d *Door) getLegacyOperation(c *call) (any, error) {
	op, err := d.operation(c)
	if err == nil && op.Instance != c.path["instance"] {
		err = errNoOperation
	}
	if err != nil {
		return nil, err
	}
	return c.links.ofLegacyOperation(op), nil
}

func (d *Door) listLegacyOperations(c *call) (any, error) {
	list, next, err := d.operations(c, c.path["instance"])
	if err == nil && len(list) == 0 { // there may be no such instance, which is no filter here
		_, err = d.intake.Instance(c.Context(), c.path["project"], c.path["instance"])
	}
	if err != nil {
		return nil, err
	}
	out := legacyOperationsList{Kind: "sql#instanceOperationsList", NextPageToken: next}
	for _, op := range list {
		out.Items = append(out.Items, c.links.ofLegacyOperation(op))
	}
	return out, nil
}

func (l links) ofLegacyOperation(op lifecycle.Operation) legacyOperation {
	o := l.ofOperation(op)
	out := legacyOperation{Kind: "sql#instanceOperation", Operation: o.Name, OperationType: o.OperationType, State: o.Status,
		EnqueuedTime: o.InsertTime, StartTime: o.StartTime, EndTime: o.EndTime, Instance: op.Instance, UserEmailAddress: o.User}
	if o.Error != nil {
		for _, e := range o.Error.Errors {
			out.Error = append(out.Error, legacyError{e.Kind, e.Code})
		}
	}
	return out
}
