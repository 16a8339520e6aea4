package events

import (
	"fmt"
	"regexp"
	"strings"
)

// Roots of the subject space (events.md 4.2).
const (
	EventRoot      = "backupbus.v1.event"
	ProgressRoot   = "backupbus.v1.progress"
	DeadLetterRoot = "backupbus.v1.deadletter"
)

// Filters of everything under a root.
const (
	AllEvents      = EventRoot + ".>"
	AllProgress    = ProgressRoot + ".>"
	AllDeadLetters = DeadLetterRoot + ".>"
)

// maxSubject is the longest subject that is published; the server closes the connection over 4,096 bytes.
const maxSubject = 512

// none stands in a subject for a provider, instance or project that there is not.
const none = "_"

// Aggregate names one thing that has a life: a backup, a restore, an instance, a delivery. Names are raw.
type Aggregate struct {
	Project  string
	Provider string // empty for request, subscription, delivery
	Instance string // empty for request, subscription, delivery
	Entity   Entity
	ID       string
	Parent   string // deliveries: id of the subscription
}

// Scope is the subject filter that matches exactly the events of the aggregate (events.md 3.2).
func (a Aggregate) Scope() (string, error) {
	head, err := a.head()
	if err != nil {
		return "", err
	}
	return head + "." + string(a.Entity) + "." + a.ID + ".*", nil
}

// InstanceScope is the subject filter over everything of the aggregate's instance: the scope of what its backups exclude
// among each other, and of who reads them. There is one such filter, and no narrower one beside it: in a replicated stream
// two filter strings do not exclude each other, although both match what is appended.
func (a Aggregate) InstanceScope() (string, error) {
	head, err := a.head()
	if err != nil {
		return "", err
	}
	return head + ".>", nil
}

// AnywhereScope is the subject filter over the aggregate's id in any instance of the project. An id does not
// contain the instance, so a key that was used for two of them shows here.
func (a Aggregate) AnywhereScope() (string, error) {
	p, err := Token(a.Project)
	if err != nil {
		return "", fmt.Errorf("project: %w", err)
	}
	return EventRoot + "." + p + ".*.*." + string(a.Entity) + "." + a.ID + ".*", nil
}

// NameScope is the subject filter over every instance of that name in the project, whatever its
// provider: the scope of `instance.registered`.
func (a Aggregate) NameScope() (string, error) {
	p, i, err := tokens(a.Project, a.Instance)
	if err != nil {
		return "", err
	}
	return EventRoot + "." + p + ".*." + i + "." + string(Instances) + ".>", nil
}

// EventSubject is the subject on which a step of the aggregate is published.
func (a Aggregate) EventSubject(s Step) (string, error) {
	head, err := a.head()
	if err != nil {
		return "", err
	}
	return bounded(head + "." + string(a.Entity) + "." + a.ID + "." + string(s))
}

// SiblingsFilter matches the events of one step of all aggregates of that entity in the instance.
func (a Aggregate) SiblingsFilter(s Step) (string, error) {
	head, err := a.head()
	if err != nil {
		return "", err
	}
	return bounded(head + "." + string(a.Entity) + ".*." + string(s))
}

// ProgressSubject is the subject of the progress of a backup or restore; the stream keeps the last message of each.
func (a Aggregate) ProgressSubject() (string, error) {
	head, err := a.head()
	if err != nil {
		return "", err
	}
	return bounded(ProgressRoot + strings.TrimPrefix(head, EventRoot) + "." + string(a.Entity) + "." + a.ID)
}

// Source is the attribute `source`; bus is the deployment's name (events.md 1.2).
func (a Aggregate) Source(bus string) (string, error) {
	path, err := a.path()
	if err != nil {
		return "", err
	}
	p, err := Token(a.Project)
	if err != nil {
		return "", fmt.Errorf("project: %w", err)
	}
	return "//" + bus + "/projects/" + p + "/" + path, nil
}

// path is the attribute `subject`: the source after `projects/{project}/`.
func (a Aggregate) path() (string, error) {
	switch a.Entity {
	case Requests:
		return "requests/" + a.ID, nil
	case Subscriptions:
		return "subscriptions/" + a.ID, nil
	case Deliveries:
		return "subscriptions/" + a.Parent + "/deliveries/" + a.ID, nil
	}
	i, err := Token(a.Instance)
	if err != nil {
		return "", fmt.Errorf("instance: %w", err)
	}
	if a.Entity == Instances {
		return "instances/" + i, nil
	}
	return "instances/" + i + "/" + string(a.Entity) + "s/" + a.ID, nil
}

// head is the subject up to the entity.
func (a Aggregate) head() (string, error) {
	p, err := Token(a.Project)
	if err != nil {
		return "", fmt.Errorf("project: %w", err)
	}
	provider, instance := none, none
	if a.Provider != "" {
		provider = a.Provider
	}
	if a.Instance != "" {
		if instance, err = Token(a.Instance); err != nil {
			return "", fmt.Errorf("instance: %w", err)
		}
	}
	return EventRoot + "." + p + "." + provider + "." + instance, nil
}

// ProjectFilter matches every event of a project.
func ProjectFilter(project string) (string, error) {
	p, err := Token(project)
	if err != nil {
		return "", fmt.Errorf("project: %w", err)
	}
	return EventRoot + "." + p + ".>", nil
}

// eventID: an aggregate, a step, and numbers (events.md 1.4).
var eventID = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}-[a-z_]{1,40}(-[0-9]{1,20}){0,2}$`)

// EventFilter matches the event of a project with this id, and those of its aggregate that differ in the number at
// its end only.
func EventFilter(project, id string) (string, error) {
	p, err := Token(project)
	if err != nil {
		return "", err
	}
	aggregate, rest, _ := strings.Cut(id, "-")
	step, _, _ := strings.Cut(rest, "-")
	if !eventID.MatchString(id) || step == "" {
		return "", fmt.Errorf("%q is no event id", Clip(id, 120))
	}
	return bounded(strings.Join([]string{EventRoot, p, "*.*.*", aggregate, step}, "."))
}

// WorkFilters match what an executor of a provider has to do (events.md 4.3).
func WorkFilters(provider string) []string {
	head := EventRoot + ".*." + provider + ".*."
	return []string{
		head + "backup.*.requested",
		head + "backup.*.verification_requested",
		head + "backup.*.deletion_requested",
		head + "restore.*.requested",
	}
}

// SchedulesFilter matches every step of every schedule.
const SchedulesFilter = EventRoot + ".*.*.*.schedule.>"

// SchedulerFilters match what makes something due, or no longer.
func SchedulerFilters() []string {
	head := EventRoot + ".*.*.*."
	return []string{SchedulesFilter, head + "backup.*.succeeded", head + "backup.*.updated", head + "backup.*.deletion_failed"}
}

// CancelFilter matches the cancel requests that an executor of a provider listens for.
func CancelFilter(provider string) string {
	return EventRoot + ".*." + provider + ".*.backup.*.cancel_requested"
}

// DeadLetterSubject is where a service puts what it could not use. project is a token, as the message's own
// subject has it (the raw name may be gone), or empty if nobody can tell.
func DeadLetterSubject(service, project, reason string) (string, error) {
	if project == "" {
		project = none
	}
	return bounded(DeadLetterRoot + "." + service + "." + project + "." + reason)
}

// Subject is a parsed event or progress subject. Names are tokens, as hashed ones have no way back.
type Subject struct {
	Project, Provider, Instance string
	Entity                      Entity
	ID                          string
	Step                        Step // empty for progress
}

// ParseSubject takes an event or progress subject apart.
func ParseSubject(s string) (Subject, error) {
	if rest, ok := strings.CutPrefix(s, EventRoot+"."); ok {
		t := strings.Split(rest, ".")
		if len(t) != 6 {
			return Subject{}, fmt.Errorf("subject %q has %d tokens, not nine", s, len(t)+3)
		}
		return Subject{t[0], t[1], t[2], Entity(t[3]), t[4], Step(t[5])}, nil
	}
	if rest, ok := strings.CutPrefix(s, ProgressRoot+"."); ok {
		t := strings.Split(rest, ".")
		if len(t) != 5 {
			return Subject{}, fmt.Errorf("subject %q has %d tokens, not eight", s, len(t)+3)
		}
		return Subject{t[0], t[1], t[2], Entity(t[3]), t[4], ""}, nil
	}
	return Subject{}, fmt.Errorf("subject %q is not of backupbus", s)
}

// Scope is the filter that matches exactly the events of the subject's aggregate (events.md 3.2).
func (s Subject) Scope() string {
	return strings.Join([]string{EventRoot, s.Project, s.Provider, s.Instance, string(s.Entity), s.ID, "*"}, ".")
}

func bounded(s string) (string, error) {
	if len(s) > maxSubject {
		return "", fmt.Errorf("subject of %d bytes is over %d: shorten the names", len(s), maxSubject)
	}
	return s, nil
}

func tokens(a, b string) (string, string, error) {
	x, err := Token(a)
	if err != nil {
		return "", "", fmt.Errorf("project: %w", err)
	}
	y, err := Token(b)
	if err != nil {
		return "", "", fmt.Errorf("instance: %w", err)
	}
	return x, y, nil
}
