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
}

func (e *apiError) envelope() envelope {
	return envelope{envelopeError{e.code, e.message, []errorEntry{{e.message, "global", e.reason}}, e.status}}
}

// The refusals of cloudsql.md 7.2 and 13 that this door makes itself.
var (
	errNoInstance  = &apiError{http.StatusNotFound, "instanceDoesNotExist", "The Cloud SQL instance does not exist.", ""}
	errNoRun       = &apiError{http.StatusNotFound, "backupRunDoesNotExist", "The backup run does not exist.", ""}
	errNoOperation = &apiError{http.StatusNotFound, "operationDoesNotExist", "The Cloud SQL instance operation does not exist.", ""}
	errInProgress  = &apiError{http.StatusConflict, "operationInProgress", "Operation failed because another operation was already in progress. Try your request after the current operation is complete.", ""}
	errGone        = &apiError{http.StatusBadRequest, "errorInvalidBackupRunStatus", "The backup run is deleted; its status does not allow the request.", ""}
	errDash        = &apiError{http.StatusBadRequest, "invalidRequest", "The incoming request contained invalid data.", ""}
	errNotFound    = &apiError{http.StatusNotFound, "notFound", "Method not found.", "NOT_FOUND"}
	errTooLarge    = &apiError{http.StatusRequestEntityTooLarge, "requestTooLarge", "The request body is larger than 1 MiB.", "INVALID_ARGUMENT"}
)

func invalid(message string) *apiError {
	return &apiError{http.StatusBadRequest, "invalid", "Invalid request: " + message, ""}
}

// convertError is the one table from what intake says to what Cloud SQL says.
func convertError(err error) *apiError {
	var own *apiError
	if errors.As(err, &own) {
		return own
	}
	var e *intake.Error
	if !errors.As(err, &e) {
		return &apiError{http.StatusInternalServerError, "internalError", "Internal error.", "INTERNAL"}
	}
	switch e.Reason {
	case intake.InstanceNotFound:
		return errNoInstance
	case intake.BackupNotFound:
		return errNoRun
	case intake.OperationNotFound:
		return errNoOperation
	case intake.PendingBackupExists, intake.NotDeletable:
		return errInProgress
	}
	switch e.Kind {
	case intake.Invalid:
		return invalid(e.Message)
	case intake.NotFound:
		return errNotFound
	case intake.Conflict:
		return &apiError{http.StatusConflict, "invalidState", "The instance or operation is not in an appropriate state to handle the request.", ""}
	case intake.Exhausted:
		return &apiError{http.StatusTooManyRequests, "rateLimitExceeded", e.Message, "RESOURCE_EXHAUSTED"}
	case intake.Unavailable:
		return &apiError{http.StatusServiceUnavailable, "backendError", e.Message, "UNAVAILABLE"}
	}
	return &apiError{http.StatusInternalServerError, "internalError", "Internal error.", "INTERNAL"}
}
