package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"gocloud.dev/gcerrors"

	"github.com/backupbus/backupbus/events"
)

// fail turns a raw error of the storage into one that holds an events.Failure. Errors that hold one
// already, and the end of a context, are only wrapped.
func (st *storage) fail(doing string, err error) error {
	var known *events.Failure
	if errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s storage %s: %w", doing, st.name, err)
	}
	return fmt.Errorf("%s storage %s: %w: %w", doing, st.name, st.failure(err), err)
}

// code is what an error of the bucket means.
func (st *storage) code(err error) gcerrors.ErrorCode {
	if st.meaning != nil {
		return st.meaning(err)
	}
	return gcerrors.Code(err)
}

func (st *storage) failure(err error) *events.Failure {
	f := &events.Failure{Category: events.BySystem}
	say := func(code events.Code, retryable bool, message string) *events.Failure {
		f.Code, f.Retryable, f.Message = code, retryable, fmt.Sprintf(message, st.name)
		return f
	}
	switch code := st.code(err); {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return say(events.StorageFull, true, "storage %q is full: free space there or give the instance another storage")
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || code == gcerrors.PermissionDenied:
		return say(events.PermissionDenied, false, "storage %q does not let this executor in: give its user the right to create, read and delete there")
	case errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EEXIST):
		return say(events.ProviderRejected, false, "storage %q is not a folder: correct its URL")
	case code == gcerrors.ResourceExhausted:
		return say(events.QuotaExceeded, true, "storage %q refuses more for now: raise its quota or wait")
	default:
		return say(events.ProviderUnavailable, true, "storage %q could not be used: see that it is there and healthy")
	}
}

func rejected(format string, args ...any) *events.Failure {
	return &events.Failure{Code: events.ProviderRejected, Category: events.ByUser, Message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *events.Failure {
	return &events.Failure{Code: events.NotFound, Category: events.BySystem, Message: fmt.Sprintf(format, args...)}
}

// corrupt says that stored bytes cannot be trusted; why goes to the log.
func corrupt(message string, why error) error {
	f := &events.Failure{Code: events.Corrupt, Category: events.BySystem, Message: message}
	if why == nil {
		return f
	}
	return fmt.Errorf("%w: %w", f, why)
}

func isFailure(err error) bool {
	var f *events.Failure
	return errors.As(err, &f)
}
