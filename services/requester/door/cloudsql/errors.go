package cloudsql

import (
	"errors"
	"net/http"

	"github.com/backupbus/backupbus/services/requester/intake"
)

// apiError is the envelope of cloudsql.md 7.1. Errors of the SQL service have no status; those of the
// platform in front of it have.
type apiError struct {
	code    int
	reason  string
	message string
	status  string

	location string // header that the error is about
}

func (e *apiError) Error() string { return e.reason + ": " + e.message }

type envelope struct {
	Error envelopeError `json:"error"`
}

type envelopeError struct {
	Code    int          `json:"code"`
	Message string       `json:"message"`
	Errors  []errorEntry `json:"errors"`
	Status  string       `json:"status,omitempty"`
}

type errorEntry struct {
	Message string `json:"message"`
	Domain  string `json:"domain"`
	Reason  string `json:"reason"`

	LocationType string `json:"locationType,omitempty"`
	Location     string `json:"location,omitempty"`
}

func (e *apiError) envelope() envelope {
	entry := errorEntry{Message: e.message, Domain: "global", Reason: e.reason}
	if e.location != "" {
		entry.LocationType, entry.Location = "header", e.location
	}
	return envelope{envelopeError{e.code, e.message, []errorEntry{entry}, e.status}}
}

// The refusals of cloudsql.md 7.2 and 13 that this door makes itself.
var (
	errNoInstance  = &apiError{code: http.StatusNotFound, reason: "instanceDoesNotExist", message: "The Cloud SQL instance does not exist."}
	errNoRun       = &apiError{code: http.StatusNotFound, reason: "backupRunDoesNotExist", message: "The backup run does not exist."}
	errNoOperation = &apiError{code: http.StatusNotFound, reason: "operationDoesNotExist", message: "The Cloud SQL instance operation does not exist."}
	errInProgress  = &apiError{code: http.StatusConflict, reason: "operationInProgress", message: "Operation failed because another operation was already in progress. Try your request after the current operation is complete."}
	errGone        = &apiError{code: http.StatusBadRequest, reason: "errorInvalidBackupRunStatus", message: "The backup run is deleted; its status does not allow the request."}
	errPinned      = &apiError{code: http.StatusBadRequest, reason: "errorPitrBackupRunNotDeletable", message: "The backup is held and cannot be deleted until it is released."}
	errDash        = &apiError{code: http.StatusBadRequest, reason: "invalidRequest", message: "The incoming request contained invalid data."}
	errNotFound    = &apiError{code: http.StatusNotFound, reason: "notFound", message: "Method not found.", status: "NOT_FOUND"}
	errTooLarge    = &apiError{code: http.StatusRequestEntityTooLarge, reason: "requestTooLarge", message: "The request body is larger than 1 MiB.", status: "INVALID_ARGUMENT"}
)

func invalid(message string) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "invalid", message: "Invalid request: " + message}
}

// convertError is the one table from what intake says to what Cloud SQL says.
func convertError(err error) *apiError {
	var own *apiError
	if errors.As(err, &own) {
		return own
	}
	var e *intake.Error
	if !errors.As(err, &e) {
		return &apiError{code: http.StatusInternalServerError, reason: "internalError", message: "Internal error.", status: "INTERNAL"}
	}
	switch e.Reason {
	case intake.InstanceNotFound:
		return errNoInstance
	case intake.BackupNotFound:
		return errNoRun
	case intake.OperationNotFound:
		return errNoOperation
	case intake.Held:
		return errPinned
	case intake.NotAmendable:
		return &apiError{code: http.StatusBadRequest, reason: "errorInvalidBackupRunStatus", message: "The status of the backup does not allow the request."}
	case intake.PendingBackupExists, intake.NotDeletable:
		return errInProgress
	}
	switch e.Kind {
	case intake.Invalid:
		return invalid(e.Message)
	case intake.NotFound:
		return errNotFound
	case intake.Conflict:
		return &apiError{code: http.StatusConflict, reason: "invalidState", message: "The instance or operation is not in an appropriate state to handle the request."}
	case intake.Exhausted:
		return &apiError{code: http.StatusTooManyRequests, reason: "rateLimitExceeded", message: e.Message, status: "RESOURCE_EXHAUSTED"}
	case intake.Unavailable:
		return &apiError{code: http.StatusServiceUnavailable, reason: "backendError", message: e.Message, status: "UNAVAILABLE"}
	}
	return &apiError{code: http.StatusInternalServerError, reason: "internalError", message: "Internal error.", status: "INTERNAL"}
}
