package intake

import (
	"context"
	"errors"
	"fmt"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// Kind is what a door maps to its dialect's status.
type Kind int

const (
	Internal    Kind = iota // a fault of ours
	Invalid                 // the request can never be right
	NotFound                // what it names is not there
	Conflict                // not in this state; later perhaps
	Exhausted               // too much at once
	Unavailable             // the bus did not answer; whether it was stored has to be looked up
)

// Reason is the word of events.md 5.5.
type Reason string

// The reasons that intake gives.
const (
	SchemaViolation     Reason = "SCHEMA_VIOLATION"
	ForbiddenContent    Reason = "FORBIDDEN_CONTENT"
	InstanceNotFound    Reason = "INSTANCE_NOT_FOUND"
	ProviderUnsupported Reason = "PROVIDER_UNSUPPORTED"
	NameInvalid         Reason = "NAME_INVALID"
	NameTaken           Reason = "NAME_TAKEN"
	BackupNotFound      Reason = "BACKUP_NOT_FOUND"
	RestoreNotFound     Reason = "RESTORE_NOT_FOUND"
	OperationNotFound   Reason = "OPERATION_NOT_FOUND"
	NotCancellable      Reason = "NOT_CANCELLABLE"
	NotDeletable        Reason = "NOT_DELETABLE"
	Held                Reason = "HELD"
	NotAmendable        Reason = "NOT_AMENDABLE"
	ScheduleNotFound    Reason = "SCHEDULE_NOT_FOUND"
	NotVerifiable       Reason = "NOT_VERIFIABLE"
	NotRestorable       Reason = "NOT_RESTORABLE"
	IdempotencyConflict Reason = "IDEMPOTENCY_CONFLICT"
	PendingBackupExists Reason = "PENDING_BACKUP_EXISTS"
	QuotaExceeded       Reason = "QUOTA_EXCEEDED"
	BusUnavailable      Reason = "UNAVAILABLE"
	Fault               Reason = "INTERNAL"
)

// Error is every refusal of intake. Nothing was stored when one is returned, unless its kind is Unavailable:
// then the answer was lost, and the event may be in the log.
type Error struct {
	Kind     Kind
	Reason   Reason
	Message  string         // safe to show, says what to do next
	Existing string         // id of the backup that stands in the way
	Rival    *events.Backup // what stands in the way, of PENDING_BACKUP_EXISTS; nil: a restore
	cause    error
}

// Error is the reason and the message.
func (e *Error) Error() string { return string(e.Reason) + ": " + e.Message }

// Unwrap is for the log, never for the caller.
func (e *Error) Unwrap() error { return e.cause }

// KindOf an error of this package; Internal for any other.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Again tells whether the same request may be accepted later as it is, and after how many seconds it makes sense to ask;
// 0: whenever.
func Again(err error) (retryable bool, seconds int) {
	var e *Error
	if !errors.As(err, &e) {
		return false, 0
	}
	switch {
	case e.Kind == Exhausted, e.Reason == Fault, e.Kind == Unavailable:
		return true, RetryAfter
	}
	return e.Reason == PendingBackupExists, 0
}

// RetryAfter is, in seconds, when to come again after a refusal for too much at once.
const RetryAfter = 60

func refuse(k Kind, r Reason, format string, a ...any) *Error {
	return &Error{Kind: k, Reason: r, Message: fmt.Sprintf(format, a...)}
}

// fault turns an error from below into one that a door can show. An Error stays what it is.
func fault(doing string, err error) error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.Is(err, events.ErrContended):
		return &Error{Kind: Unavailable, Reason: BusUnavailable, Message: "too many requests for this instance at once: try again", cause: fmt.Errorf("%s: %w", doing, err)}
	case errors.Is(err, events.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Error{Kind: Unavailable, Reason: BusUnavailable, Message: "the event log did not answer: look whether the request is there before you send it again, or send it with the same Idempotency-Key", cause: fmt.Errorf("%s: %w", doing, err)}
	case errors.Is(err, events.ErrTooLarge):
		return &Error{Kind: Invalid, Reason: SchemaViolation, Message: "the record would be too large: shorten labels or description", cause: err}
	case errors.Is(err, lifecycle.ErrIllegal):
		return &Error{Kind: Conflict, Reason: Fault, Message: "not possible in the present state", cause: err}
	}
	return &Error{Kind: Internal, Reason: Fault, Message: "internal error; the log has the details", cause: fmt.Errorf("%s: %w", doing, err)}
}
