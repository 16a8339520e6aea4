package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

func rejected(format string, args ...any) *events.Failure {
	return &events.Failure{Code: events.ProviderRejected, Category: events.ByUser, Message: fmt.Sprintf(format, args...)}
}

func denied(format string, args ...any) *events.Failure {
	return &events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: fmt.Sprintf(format, args...)}
}

func unavailable(message string) *events.Failure {
	return &events.Failure{Code: events.ProviderUnavailable, Category: events.ByProvider, Retryable: true, Message: message}
}

func internal(message string) *events.Failure {
	return &events.Failure{Code: events.Internal, Category: events.BySystem, Retryable: true, Message: message}
}

// corrupt says that a copy cannot be trusted; why goes to the log.
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

func sqlState(err error) string {
	var raw *pgconn.PgError
	if errors.As(err, &raw) {
		return raw.Code
	}
	return ""
}

func isTLSRefused(err error) bool { return strings.Contains(err.Error(), "refused TLS") }

// What the tools and the server are asked to mend, wherever it is met.
var (
	lockHeld  = "another session holds a lock that the dump needs, and kept it for longer than the executor waits: end that session or run the backup at another time"
	fewLocks  = "the server's table of locks is full: raise max_locks_per_transaction there (it has to hold every table of the database) and restart it"
	noRead    = "the user of the instance may not read everything: GRANT pg_read_all_data TO it (PostgreSQL 14 and newer), or USAGE on every schema and SELECT on every table and sequence; large objects need their owner or a superuser"
	rowPolicy = "row-level security hides rows from the user of the instance, so that a copy would not be whole: ALTER ROLE … BYPASSRLS for it, or use a superuser"
	logGone   = "the server removed a part of its log that the copy needs while the files were copied: set max_slot_wal_keep_size or wal_keep_size there to more than is written during a backup, and leave it a replication slot; then try again"
	brokeOff  = "the server broke the copy of its files off: its log says why; if a part of the log was removed, raise max_slot_wal_keep_size or wal_keep_size there; the backup can be tried again"
	away      = "the server went away or ended the session in the middle: see its log; the backup can be tried again"
)

// failure is the one way from a raw error of a session to a Failure. The end of a context and what holds
// a Failure already pass through.
func failure(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case isFailure(err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", doing, err)
	}
	var raw *pgconn.PgError
	if !errors.As(err, &raw) {
		return fmt.Errorf("%s: %w: %w", doing, unavailable(away), err)
	}
	f := ofState(raw)
	f.ProviderCode = raw.Code
	return fmt.Errorf("%s: %w: %w", doing, f, err)
}

// ofState is the table from SQLSTATE to Failure.
func ofState(raw *pgconn.PgError) *events.Failure {
	switch raw.Code {
	case "28P01", "28000":
		return denied("the server refuses the login: see the instance's user and credentialRef, and pg_hba.conf of the server")
	case "3D000":
		return &events.Failure{Code: events.NotFound, Category: events.ByUser, Message: "the server has no such database: correct the instance's databases or the one that was asked for"}
	case "42501":
		if strings.Contains(raw.Message, "row-level security") {
			return denied("%s", rowPolicy)
		}
		return denied("the user of the instance lacks a right on the server: the documentation of the postgres provider lists the GRANTs")
	case "53300":
		return unavailable("the server has no connection left: raise max_connections, or the limit of the role or database, or wait")
	case "53200":
		if strings.Contains(raw.Hint, "max_locks_per_transaction") || strings.Contains(raw.Hint, "max_pred_locks") {
			return rejected("%s", fewLocks)
		}
		return unavailable("the server is short of memory: wait, or give it more")
	case "53100":
		return &events.Failure{Code: events.StorageFull, Category: events.ByProvider, Retryable: true, Message: "the disk of the server is full: free space there"}
	case "55P03":
		return unavailable(lockHeld)
	case "55006":
		return unavailable("other sessions use the database and do not let go: end them and try again")
	case "42P01", "3F000":
		return unavailable("a table went away while the copy began: the backup can be tried again")
	case "22023", "42809", "42704":
		return rejected("the server lacks something that the copy needs, a locale, a role or an extension: the executor's log names it; create or install it there")
	case "57P01", "57P02", "57P03", "57P05":
		return unavailable(away)
	}
	return internal("the server reported an error that the executor does not know: its log has the details")
}

// signs are what the tools say, in the order in which it is looked for. They run in the C locale; a server
// that speaks another language than English falls through to the general message.
var signs = []struct {
	text string
	is   func() *events.Failure
}{
	{"max_locks_per_transaction", func() *events.Failure { return rejected("%s", fewLocks) }},
	{"due to statement timeout", func() *events.Failure { return unavailable(lockHeld) }},
	{"due to lock timeout", func() *events.Failure { return unavailable(lockHeld) }},
	{"row-level security", func() *events.Failure { return denied("%s", rowPolicy) }},
	{"password authentication failed", func() *events.Failure { return ofState(&pgconn.PgError{Code: "28P01"}) }},
	{"no pg_hba.conf entry", func() *events.Failure { return ofState(&pgconn.PgError{Code: "28000"}) }},
	{"permission denied", func() *events.Failure { return denied("%s", noRead) }},
	{"too many clients", func() *events.Failure { return ofState(&pgconn.PgError{Code: "53300"}) }},
	{"connection slots are reserved", func() *events.Failure { return ofState(&pgconn.PgError{Code: "53300"}) }},
	{"No space left on device", func() *events.Failure { return ofState(&pgconn.PgError{Code: "53100"}) }},
	{"server version mismatch", func() *events.Failure { return rejected("%s", tooOld) }},
	{"is not available", func() *events.Failure { return ofState(&pgconn.PgError{Code: "42704"}) }},
	{"has already been removed", func() *events.Failure { return unavailable(logGone) }},
	{"COPY stream ended", func() *events.Failure { return unavailable(brokeOff) }}, // all that pg_basebackup says of an error inside a file
	{"closed the connection", func() *events.Failure { return unavailable(away) }},
	{"terminating connection", func() *events.Failure { return unavailable(away) }},
	{"PQgetCopyData", func() *events.Failure { return unavailable(away) }},
	{"no connection to the server", func() *events.Failure { return unavailable(away) }},
	{"Connection refused", func() *events.Failure { return unavailable(away) }},
	{"connection to server", func() *events.Failure { return unavailable(away) }},
	{"could not open relation", func() *events.Failure { return ofState(&pgconn.PgError{Code: "42P01"}) }},
	{"does not exist", func() *events.Failure { return ofState(&pgconn.PgError{Code: "42P01"}) }},
}

// dumpFailure gives the bad end of a tool that reads from the server its Failure.
func dumpFailure(err error) error {
	return toolFailure(err, "the dump program ended with an error that the executor does not know: its log has the details")
}

func toolFailure(err error, otherwise string) error {
	var exit *tool.ExitError
	if !errors.As(err, &exit) || isFailure(err) {
		return err
	}
	if exit.Exit == -1 {
		return fmt.Errorf("%w: %w", internal("a program of PostgreSQL was killed where the executor runs: see whether the machine is short of memory"), err)
	}
	for _, s := range signs {
		if strings.Contains(exit.Stderr, s.text) {
			return fmt.Errorf("%w: %w", s.is(), err)
		}
	}
	return fmt.Errorf("%w: %w", internal(otherwise), err)
}
