package events

import "fmt"

// Reasons of events.md 5.5 that a command's own form gives; those of state and policy are intake's.
const (
	MalformedEvent         = "MALFORMED_EVENT"
	UnsupportedSpecVersion = "UNSUPPORTED_SPECVERSION"
	UnsupportedType        = "UNSUPPORTED_TYPE"
	SchemaViolation        = "SCHEMA_VIOLATION"
	TooLarge               = "TOO_LARGE"
	ForbiddenContent       = "FORBIDDEN_CONTENT"
	SubjectMismatch        = "SUBJECT_MISMATCH"
	Expired                = "EXPIRED"
)

// MaxViolations is the most that one rejection lists (events.md 2.3).
const MaxViolations = 20

// Violation says what is wrong where, and never shows the value.
type Violation struct {
	Path    string `json:"path"` // JSON Pointer into the command in structured form: /data/instance, /source
	Rule    string `json:"rule"` // keyword of JSON Schema: required, type, pattern, maxLength …
	Message string `json:"message"`
}

// Rejection is why a command is refused (events.md 5.5), as an error that can be shown.
type Rejection struct {
	Reason            string
	Message           string // at most 1 KiB, says what to do next
	Retryable         bool   // the same command may be sent again and is judged anew
	Violations        []Violation
	RetryAfterSeconds int
	ExistingBackupID  string
}

// Error is the reason and the message.
func (r *Rejection) Error() string { return r.Reason + ": " + r.Message }

func rejectf(reason, format string, a ...any) *Rejection {
	return &Rejection{Reason: reason, Message: fmt.Sprintf(format, a...)}
}

// AcceptedRequest is the `data` of `request.accepted`: a command from the bus did what it asked for
// (events.md 2.3).
type AcceptedRequest struct {
	Project       string `json:"project"`
	RequestID     string `json:"requestId"`
	Command       string `json:"command"` // type
	CommandSource string `json:"commandSource"`
	CommandID     string `json:"commandId"`
	RequestDigest string `json:"requestDigest"`
	BackupID      string `json:"backupId"`
	RestoreID     string `json:"restoreId,omitempty"`
	State         State  `json:"state"`  // of the backup or restore
	Repeat        bool   `json:"repeat"` // true only in the copy that a repeat gets (events.md 5.2)
}

// Aggregate names the request.
func (r AcceptedRequest) Aggregate() Aggregate {
	return Aggregate{Project: r.Project, Entity: Requests, ID: r.RequestID}
}

func (r AcceptedRequest) attributes() own { return own{correlation: r.RequestID} }

func (r AcceptedRequest) bounded() any { return r }

// RejectedRequest is the `data` of `request.rejected` (events.md 2.3). What could not be read is absent.
type RejectedRequest struct {
	Project           string      `json:"project"`
	RequestID         string      `json:"requestId"`
	Reason            string      `json:"reason"`
	Message           string      `json:"message"`
	Retryable         bool        `json:"retryable"`
	Command           string      `json:"command,omitempty"`
	CommandSource     string      `json:"commandSource,omitempty"`
	CommandID         string      `json:"commandId,omitempty"`
	Violations        []Violation `json:"violations,omitempty"`
	RetryAfterSeconds int         `json:"retryAfterSeconds,omitempty"`
	ExistingBackupID  string      `json:"existingBackupId,omitempty"`
}

const maxRejectionMessage = 1024

// Rejected is the record of a refusal of c, which may be the zero value, under a request id.
func (r *Rejection) Rejected(project, requestID string, c Command) RejectedRequest {
	return RejectedRequest{
		Project: project, RequestID: requestID, Reason: r.Reason, Message: r.Message, Retryable: r.Retryable,
		Command: c.Type, CommandSource: c.Source, CommandID: c.ID, Violations: r.Violations,
		RetryAfterSeconds: r.RetryAfterSeconds, ExistingBackupID: r.ExistingBackupID,
	}
}

// Aggregate names the request.
func (r RejectedRequest) Aggregate() Aggregate {
	return Aggregate{Project: r.Project, Entity: Requests, ID: r.RequestID}
}

func (r RejectedRequest) attributes() own { return own{correlation: r.RequestID} }

func (r RejectedRequest) bounded() any {
	r.Message = Clip(Redact(r.Message), maxRejectionMessage)
	r.Violations = r.Violations[:min(len(r.Violations), MaxViolations)]
	r.Command = Clip(r.Command, 255)
	if HasSecret(r.CommandSource) {
		r.CommandSource = ""
	}
	if HasSecret(r.CommandID) {
		r.CommandID = ""
	}
	return r
}

// MalformedRequestID is `rq_…` of a message that has no request of its own: no valid CloudEvent, by its place in
// the stream (events.md 5.5).
func MalformedRequestID(stream string, seq uint64) (string, error) {
	return hash("rq_", "malformed", stream, fmt.Sprint(seq))
}

// ConflictRequestID is `rq_…` of a message that is refused although the request that its source and id name was
// accepted: that one is untouched (events.md 5.3), and its life allows no rejection any more (3.1).
func ConflictRequestID(stream string, seq uint64) (string, error) {
	return hash("rq_", "conflict", stream, fmt.Sprint(seq))
}
