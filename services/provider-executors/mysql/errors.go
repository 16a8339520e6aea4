package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	driver "github.com/go-sql-driver/mysql"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// failure gives a raw error of a server or a connection its events.Failure. What holds one already, and
// the end of a context, pass through.
func failure(err error) error {
	var known *events.Failure
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	var said *driver.MySQLError
	if errors.As(err, &said) {
		return fmt.Errorf("%w: %w", ofNumber(int(said.Number)), err)
	}
	return fmt.Errorf("%w: %w", ofConnection(err), err)
}

func ofConnection(err error) *events.Failure {
	var (
		certificate *tls.CertificateVerificationError
		name        x509.HostnameError
		record      tls.RecordHeaderError
		dns         *net.DNSError
	)
	switch {
	case errors.As(err, &certificate), errors.As(err, &name):
		return permission("the server's certificate is not to be trusted, or names another host: correct tls.caFile or the address of the instance")
	case errors.Is(err, driver.ErrNoTLS), errors.Is(err, errNoTLS), errors.As(err, &record):
		return rejected("the server offers no TLS and the instance asks for it: switch it on in the server, or set the instance's tls.mode")
	case errors.Is(err, driver.ErrUnknownPlugin), errors.Is(err, driver.ErrCleartextPassword), errors.Is(err, driver.ErrOldPassword), errors.Is(err, driver.ErrNativePassword):
		return rejected("the executor cannot log in by the way in which the account is identified: give it a password by mysql_native_password, ed25519 or caching_sha2_password")
	case errors.Is(err, errProtocol), errors.Is(err, driver.ErrMalformPkt):
		return rejected("what answers at the instance's address is no MySQL or MariaDB server: correct the address")
	case errors.Is(err, errBare):
		return unavailable("the server asked for the password itself on a connection without TLS, where the executor does not send it: try again; if it comes back, set the instance's tls.mode to REQUIRE or VERIFY_FULL")
	case errors.As(err, &dns) && dns.IsNotFound:
		return rejected("the host of the instance's address is not known where the executor runs: correct the address")
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable("the server did not answer in time: see that it runs and is not overloaded")
	}
	return unavailable("the server cannot be reached, or the connection to it broke: see that it runs and that the executor's machine may reach it")
}

// Numbers of the servers' errors that have a message of their own.
const (
	erAccessDenied      = 1045
	erDBAccessDenied    = 1044
	erTableAccessDenied = 1142
	erNoSuchTable       = 1146
	erBadDB             = 1049
	erTableDefChanged   = 1412
)

// ofNumber is the table from the numbers of servers and clients.
func ofNumber(n int) *events.Failure {
	f := said(n)
	f.ProviderCode = strconv.Itoa(n)
	return f
}

// From 4000 up a number means one thing to MySQL and another to MariaDB (4031: a session that idled, a trigger's table
// that is gone).
func said(n int) *events.Failure {
	switch n {
	case erAccessDenied, 1698, 1862, 1820, 3118, 4151:
		return permission("the server does not let the account in: correct the instance's user or the password behind its credentialRef, and see that the account is not locked")
	case 1130, 1129:
		return permission("the server lets nobody in from the executor's machine: add the account for it (CREATE USER … @'host'), or unblock it (FLUSH HOSTS)")
	case erDBAccessDenied, erTableAccessDenied, 1143, 1227, 1370, 1419, 4052:
		return permission("the account lacks a privilege: grant it what the documentation of the mysql executor lists")
	case erBadDB:
		return notFound("the database does not exist on the server: correct the instance's databases")
	case erNoSuchTable, erTableDefChanged, 1347, 1356:
		return changing()
	case 1040, 1203, 1226:
		return unavailable("the server has no connection left for the executor: raise max_connections, or the account's limit")
	case 1053, 1927, 1317, 2002, 2003, 2006, 2013, 2055, 1152, 1158, 1159, 1160, 1161, 3169, 3032:
		return unavailable("the connection to the server broke: see that it runs and does not end sessions")
	case 1205, 1213:
		return unavailable("another session holds a lock on what the tool needs: end its transaction")
	case 1153, 2020:
		return rejected("a row is larger than the server's max_allowed_packet: raise it, up to 1 GiB")
	case 1114, 3, 28, 1021, 1041, 1037:
		return &events.Failure{Code: events.StorageFull, Category: events.BySystem, Retryable: true, Message: "the server's disk or memory is full: free space there"}
	case 3159:
		return rejected("the server lets nobody in without TLS: set the instance's tls.mode to REQUIRE or VERIFY_FULL")
	case 3750:
		return rejected("the copy has a table without a primary key, which the target's server refuses: set sql_require_primary_key=OFF there for the restore")
	case 1290, 1792, 1836:
		return rejected("the server is read-only: choose the primary, or set read_only=0")
	case 1273, 1115, 1286, 1064, 1193, 1231, 4161, 1911:
		return rejected("the server does not understand what the copy holds: restore to a server of the same kind whose version is not older")
	}
	return &events.Failure{Code: events.Internal, Category: events.BySystem, Retryable: true,
		Message: "the server reports an error that the executor does not know: its log has the details under this backup's id"}
}

func changing() *events.Failure {
	f := unavailable("a table or view was dropped, altered or is broken (a view on what is gone) while the tool read it: try again when no schema change runs, and mend what SHOW CREATE VIEW refuses")
	f.Category = events.ByUser
	return f
}

// numbers are the ways in which the tools name an error of the server.
var numbers = []*regexp.Regexp{
	regexp.MustCompile(`Got error: (\d+)`),
	regexp.MustCompile(`[Ee]rror:? (\d+)\b`),
	regexp.MustCompile(`\((\d{4})\)\s*$`),
	regexp.MustCompile(`^ERROR (\d+) \(`),
	regexp.MustCompile(`[Ee]rrno:? (\d+)\b`),
}

// changedForm is how mysqldump, which tells no number, says that a table is not as it was a moment before.
var changedForm = regexp.MustCompile(`Error in field count for table`)

// lostForm is how mariadb-backup, which tells no numbers, says that the connection broke.
var lostForm = regexp.MustCompile(`(?i)server has gone away|lost connection to`)

// ofTool is the failure of a program that ended badly; what it said goes to the log.
func ofTool(err error) error {
	var exit *tool.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if exit.Exit < 0 {
		return fmt.Errorf("%w: %w", unavailable("the program that makes the copy was killed where the executor runs: see whether the machine ran out of memory"), err)
	}
	n := numberIn(exit.Stderr)
	if n == 0 && changedForm.MatchString(exit.Stderr) {
		n = erTableDefChanged
	}
	if n == 0 && lostForm.MatchString(exit.Stderr) {
		n = 2013
	}
	if n != 0 {
		return fmt.Errorf("%w: %w", ofNumber(n), err)
	}
	return fmt.Errorf("%w: %w", &events.Failure{Code: events.Internal, Category: events.BySystem, Retryable: true,
		Message: "the database's tool ended with an error that the executor does not know: its log has the details under this backup's id"}, err)
}

// numberIn is the last error that a tool named.
func numberIn(stderr string) (last int) {
	for line := range strings.Lines(stderr) {
		for _, form := range numbers {
			if m := form.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil {
				last, _ = strconv.Atoi(m[1])
				break
			}
		}
	}
	return last
}

// isRefusal tells that the server answered, and said no.
func isRefusal(err error) bool {
	var said *driver.MySQLError
	return errors.As(err, &said)
}

// numberOf is the number of a server's refusal, 0 of another error.
func numberOf(err error) int {
	var said *driver.MySQLError
	if !errors.As(err, &said) {
		return 0
	}
	return int(said.Number)
}

func rejected(format string, args ...any) *events.Failure {
	return &events.Failure{Code: events.ProviderRejected, Category: events.ByUser, Message: fmt.Sprintf(format, args...)}
}

func permission(message string) *events.Failure {
	return &events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: message}
}

func unavailable(message string) *events.Failure {
	return &events.Failure{Code: events.ProviderUnavailable, Category: events.BySystem, Retryable: true, Message: message}
}

func notFound(message string) *events.Failure {
	return &events.Failure{Code: events.NotFound, Category: events.ByUser, Message: message}
}

func corrupt(message string, why error) error {
	return fmt.Errorf("%w: %w", &events.Failure{Code: events.Corrupt, Category: events.BySystem, Message: message}, why)
}
