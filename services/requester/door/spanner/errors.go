package spanner

import (
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// rpcError is a refusal as both protocols show it, with its cause for the log.
type rpcError struct {
	status *status.Status
	cause  error
}

func (e *rpcError) Error() string              { return e.status.Err().Error() }
func (e *rpcError) GRPCStatus() *status.Status { return e.status }
func (e *rpcError) Unwrap() error              { return e.cause }

func refuse(code codes.Code, format string, a ...any) *rpcError {
	return &rpcError{status: status.Newf(code, format, a...)}
}

func invalid(format string, a ...any) *rpcError { return refuse(codes.InvalidArgument, format, a...) }

// malformed is what is said of a request whose names or token cannot be read (spanner.md (b) 1, 21, 41, 43).
func malformed(method string) *rpcError { return invalid("Invalid %s request.", method) }

// with adds details; one that cannot be encoded is left out.
func (e *rpcError) with(details ...protoadapt.MessageV1) *rpcError {
	if s, err := e.status.WithDetails(details...); err == nil {
		e.status = s
	}
	return e
}

// The resource types of spanner.md 6.1.
const (
	typePrefix   = "type.googleapis.com/google.spanner.admin."
	backupType   = typePrefix + "database.v1.Backup"
	databaseType = typePrefix + "database.v1.Database"
	scheduleType = typePrefix + "database.v1.BackupSchedule"
	instanceType = typePrefix + "instance.v1.Instance"
)

func notFound(kind, resourceType, name string) *rpcError {
	return refuse(codes.NotFound, "%s not found: %s", kind, name).with(&errdetails.ResourceInfo{
		ResourceType: resourceType, ResourceName: name, Description: kind + " does not exist."})
}

func alreadyExists(kind, resourceType, name string) *rpcError {
	return refuse(codes.AlreadyExists, "%s already exists: %s", kind, name).with(&errdetails.ResourceInfo{
		ResourceType: resourceType, ResourceName: name, Description: kind + " already exists."})
}

func noOperation(name string) *rpcError {
	return refuse(codes.NotFound, "Operation not found: %s", name)
}

// about are the names of what a request is about, as it gave them: errors show them.
type about struct {
	instance, database, backup, schedule string
	home                                 events.Instance // of the database
}

// of turns an error of intake into what Spanner says (spanner.md (b)). It is the one place where that is decided.
func (a about) of(err error) error {
	if err == nil {
		return nil
	}
	var own *rpcError
	if errors.As(err, &own) {
		return own
	}
	e := a.say(err)
	e.cause = err
	return e
}

func (a about) say(err error) *rpcError {
	var e *intake.Error
	if !errors.As(err, &e) {
		return refuse(codes.Internal, "Internal error.")
	}
	switch e.Reason {
	case intake.InstanceNotFound:
		return notFound("Instance", instanceType, a.instance)
	case intake.BackupNotFound, intake.NotAmendable: // it went meanwhile
		return notFound("Backup", backupType, a.backup)
	case intake.ScheduleNotFound:
		return notFound("Backup schedule", scheduleType, a.schedule)
	case intake.NameTaken:
		return alreadyExists("Backup", backupType, a.backup)
	case intake.PendingBackupExists:
		if e.Rival == nil || databaseOf(a.home, e.Rival.Database) != a.database { // the limit is one of a database
			break
		}
		return refuse(codes.FailedPrecondition, "Cannot create backup (%s) for database (%s) because the maximum number of pending backups (1) for the database has been reached. Please retry the operation once the pending backups complete.", a.backup, a.database)
	}
	switch e.Kind {
	case intake.Invalid:
		return invalid("%s", e.Message)
	case intake.NotFound:
		return refuse(codes.NotFound, "%s", e.Message)
	case intake.Conflict:
		return refuse(codes.FailedPrecondition, "%s", e.Message)
	case intake.Exhausted:
		return refuse(codes.ResourceExhausted, "%s", e.Message).with(&errdetails.ErrorInfo{
			Reason: "RATE_LIMIT_EXCEEDED", Domain: "googleapis.com", Metadata: map[string]string{"quota_limit": "AdminMethodQuotaPerMinutePerProject", "service": "spanner.googleapis.com"}})
	case intake.Unavailable:
		return refuse(codes.Unavailable, "%s", e.Message)
	}
	return refuse(codes.Internal, "Internal error.")
}

// failureStatus is the error of an operation whose work failed (spanner.md (a)).
func failureStatus(f *events.Failure) *status.Status {
	code, known := map[events.Code]codes.Code{
		events.ProviderUnavailable: codes.Unavailable, events.ProviderRejected: codes.FailedPrecondition,
		events.PermissionDenied: codes.PermissionDenied, events.QuotaExceeded: codes.ResourceExhausted,
		events.NotFound: codes.NotFound, events.AlreadyExists: codes.AlreadyExists,
		events.DeadlineExceeded: codes.DeadlineExceeded, events.StorageFull: codes.ResourceExhausted,
		events.Network: codes.Unavailable, events.Corrupt: codes.DataLoss, events.CodeCancelled: codes.Canceled,
	}[f.Code]
	if !known {
		code = codes.Internal
	}
	return status.New(code, events.Redact(f.Message))
}

// beingDeleted is said of a backup whose deletion was asked for through another door: it is shown until it has gone.
func beingDeleted(backup string) error {
	return refuse(codes.FailedPrecondition, "Backup %s is being deleted.", backup)
}

// stillInUse is (b) 27, word for word.
func stillInUse(backup string, n int) error {
	return refuse(codes.FailedPrecondition, "%s", fmt.Sprintf("Backup %s cannot be deleted at the moment because it is still in use by %d databases for pending restore activity. "+
		"Please try deleting the backup once the restore or post-restore optimize operations have completed on these databases. "+
		"The databases using this backup are displayed in the UI in the Backups table `In use by` column, and returned by the GetBackup API.", backup, n))
}
