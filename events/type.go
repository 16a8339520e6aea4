package events

import (
	"fmt"
	"strconv"
	"strings"
)

// Entity is the kind of aggregate that an event belongs to: the seventh token of its subject.
type Entity string

// The entities of events.md 4.2.
const (
	Backups       Entity = "backup"
	Restores      Entity = "restore"
	Instances     Entity = "instance"
	Schedules     Entity = "schedule"
	Requests      Entity = "request"
	Subscriptions Entity = "subscription"
	Deliveries    Entity = "delivery"
)

// Step is what happened: the last token of an event's subject.
type Step string

// The steps of events.md 1.5.
const (
	Requested             Step = "requested"
	Updated               Step = "updated"
	Skipped               Step = "skipped"
	Overdue               Step = "overdue"
	Started               Step = "started"
	ProgressStep          Step = "progress"
	AttemptFailed         Step = "attempt_failed"
	Succeeded             Step = "succeeded"
	Failed                Step = "failed"
	CancelRequested       Step = "cancel_requested"
	Cancelled             Step = "cancelled"
	VerificationRequested Step = "verification_requested"
	Verified              Step = "verified"
	VerificationFailed    Step = "verification_failed"
	DeletionRequested     Step = "deletion_requested"
	Deleted               Step = "deleted"
	DeletionFailed        Step = "deletion_failed"
	Registered            Step = "registered"
	Deregistered          Step = "deregistered"
	Created               Step = "created"
	Accepted              Step = "accepted"
	Rejected              Step = "rejected"
	DeadLettered          Step = "dead_lettered"
	Failing               Step = "failing"
	Disabled              Step = "disabled"
	Test                  Step = "test"
)

// Severities of events.md 1.1.
const (
	Debug = 5
	Info  = 9
	Warn  = 13
	Error = 17
)

// severity is the column of events.md 1.5 for the steps that are not Info.
var severity = map[Step]int{
	ProgressStep:  Debug,
	Overdue:       Warn,
	Rejected:      Warn,
	AttemptFailed: Warn, VerificationFailed: Error, DeletionFailed: Error,
	Failed: Error, Cancelled: Warn,
	Failing: Warn, Disabled: Error, DeadLettered: Error,
}

// Severity of a step, for the attribute `severitynumber`.
func Severity(s Step) int {
	if n, ok := severity[s]; ok {
		return n
	}
	return Info
}

const typePrefix = "dev.backupbus."

// Type is a parsed event type, `dev.backupbus.{entity}.{step}.v{major}`.
type Type struct {
	Entity Entity
	Step   Step
	Major  int
}

// TypeOf is the current version of a step's type.
func TypeOf(e Entity, s Step) Type { return Type{e, s, 1} }

// String is the attribute `type`.
func (t Type) String() string { return typePrefix + t.Name() + ".v" + strconv.Itoa(t.Major) }

// Name is `{entity}.{step}`: the name of the schema file, without the version.
func (t Type) Name() string { return string(t.Entity) + "." + string(t.Step) }

// DataSchema is the attribute `dataschema`, `urn:backupbus:schema:{name}:v{major}`.
func (t Type) DataSchema() string {
	return "urn:backupbus:schema:" + t.Name() + ":v" + strconv.Itoa(t.Major)
}

// ParseType reads the attribute `type`. It knows the form, not the vocabulary: a type of the right form
// that nobody has defined parses.
func ParseType(s string) (Type, error) {
	rest, ok := strings.CutPrefix(s, typePrefix)
	if !ok {
		return Type{}, fmt.Errorf("type %q is not of backupbus", s)
	}
	parts := strings.Split(rest, ".")
	if len(parts) < 3 {
		return Type{}, fmt.Errorf("type %q has no version", s)
	}
	last := parts[len(parts)-1]
	major, err := strconv.Atoi(strings.TrimPrefix(last, "v"))
	if err != nil || major < 1 || last != "v"+strconv.Itoa(major) {
		return Type{}, fmt.Errorf("type %q has no version", s)
	}
	step := strings.Join(parts[1:len(parts)-1], ".")
	return Type{Entity(parts[0]), Step(step), major}, nil
}
