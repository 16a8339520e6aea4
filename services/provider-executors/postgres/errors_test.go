package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

func TestFailure_OnlyDamageIsCorrupt(t *testing.T) {
	t.Parallel()
	of := func(state string) error {
		return scratchFailure(failure("count", &pgconn.PgError{Code: state}), "damaged")
	}
	exit := func(status int, said string) error {
		return fmt.Errorf("load: %w", &tool.ExitError{Program: "pg_restore", Result: tool.Result{Exit: status, Stderr: said}})
	}
	for name, c := range map[string]struct {
		err  error
		code events.Code
	}{
		"damaged page":      {of("XX001"), events.Corrupt},
		"file missing":      {of("58P01"), events.Corrupt},
		"scratch disk full": {of("53100"), events.StorageFull},
		"no memory":         {of("53200"), events.Internal},
		"server stopped":    {of("57P01"), events.Internal},
		"session lost":      {scratchFailure(failure("count", io.ErrUnexpectedEOF), "damaged"), events.Internal},

		"recovery gave up":   {recoveryFailure(exit(1, "FATAL:  could not locate required checkpoint record")), events.Corrupt},
		"recovery panicked":  {recoveryFailure(exit(-1, "PANIC:  could not locate a valid checkpoint record")), events.Corrupt},
		"recovery killed":    {recoveryFailure(exit(-1, "")), events.Internal},
		"recovery disk full": {recoveryFailure(exit(1, "FATAL:  could not write: No space left on device")), events.StorageFull},

		"load in scratch":           {scratchLoadFailure(exit(1, "error: something")), events.Corrupt},
		"load in scratch, full":     {scratchLoadFailure(exit(1, "could not extend file: No space left on device")), events.StorageFull},
		"load in scratch, killed":   {scratchLoadFailure(exit(-1, "")), events.Internal},
		"load in scratch, cut":      {scratchLoadFailure(exit(1, "no connection to the server")), events.ProviderUnavailable},
		"load, fault not known":     {loadFailure(exit(1, "error: something must be positive"), rejected("x")), events.ProviderRejected},
		"load, not the owner":       {loadFailure(exit(1, "ERROR:  must be owner of table a"), rejected("x")), events.PermissionDenied},
		"load, disk of target full": {loadFailure(exit(1, "No space left on device"), rejected("x")), events.StorageFull},
	} {
		var f *events.Failure
		if !errors.As(c.err, &f) || f.Code != c.code {
			t.Errorf("%s: want %s, got %v", name, c.code, c.err)
		}
	}
	for _, err := range []error{context.Canceled, context.DeadlineExceeded} {
		if got := scratchFailure(failure("count", err), "damaged"); isFailure(got) || !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if err := scratchFull(io.EOF); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}
