package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
)

// goodbye is how long the polite end of a connection may take.
const goodbye = 2 * time.Second

// connect opens a session of the engine's own under the marker. No environment variable and no file of
// the executor's user has a say in it.
func (s server) connect(ctx context.Context, database, marker string) (*pgx.Conn, error) {
	c, err := s.pgxConfig(database, marker)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, s.unreached(ctx, err)
	}
	// Timeouts that the server's or the role's settings have for applications; which there are differs by version.
	_, err = conn.Exec(ctx, `SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings
		WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')`)
	if err != nil {
		bye(ctx, conn)
		return nil, failure("prepare the session", err)
	}
	if conn.PgConn().ParameterStatus("server_encoding") == "SQL_ASCII" { // any bytes: they pass as they are
		if _, err := conn.Exec(ctx, "SET client_encoding TO 'SQL_ASCII'"); err != nil {
			bye(ctx, conn)
			return nil, failure("prepare the session", err)
		}
	}
	return conn, nil
}

func (s server) pgxConfig(database, marker string) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig("host=localhost port=1 user=none password=none sslmode=disable target_session_attrs=any")
	if err != nil {
		return nil, fmt.Errorf("set up the connection: %w", err)
	}
	c.Host, c.Port, c.User, c.Password, c.Database = s.host, s.port, s.user, s.secret.Reveal(), database
	c.ConnectTimeout, c.DialFunc = s.timeout, (&net.Dialer{Timeout: s.timeout}).DialContext
	c.Fallbacks, c.ValidateConnect, c.KerberosSrvName = nil, nil, ""
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.RuntimeParams = map[string]string{
		"application_name": marker, "client_encoding": "UTF8", "search_path": "pg_catalog", "row_security": "off",
		"default_transaction_read_only": "off",
		// What the text of a value depends on: the rows of two servers are compared by it.
		"DateStyle": "ISO", "IntervalStyle": "postgres", "TimeZone": "UTC", "extra_float_digits": "3", "bytea_output": "hex", "lc_monetary": "C",
	}
	if c.TLSConfig, err = s.tls(); err != nil {
		return nil, err
	}
	return c, nil
}

func (s server) tls() (*tls.Config, error) {
	switch s.mode {
	case events.TLSRequire:
		return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, nil //nolint:gosec // what REQUIRE means
	case events.TLSVerifyFull:
		c := &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12}
		if s.caFile == "" {
			return c, nil
		}
		pem, err := os.ReadFile(s.caFile)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", rejected("the instance's caFile cannot be read where the executor runs: put it there and let the executor's user read it"), err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, rejected("the instance's caFile holds no certificate: it has to be one in PEM form")
		}
		return c, nil
	}
	return nil, nil
}

// unreached gives a failed connection its Failure.
func (s server) unreached(ctx context.Context, err error) error {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case sqlState(err) != "":
		return failure("connect", err)
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &name):
		return fmt.Errorf("%w: %w", rejected("the server's certificate cannot be trusted, or it is not that of this host: set the instance's caFile and address"), err)
	case s.mode != events.TLSDisable && isTLSRefused(err):
		return fmt.Errorf("%w: %w", rejected("the server does not speak TLS: switch it on there, or set the instance's TLS mode to DISABLE if the network is safe"), err)
	}
	return fmt.Errorf("%w: %w", unavailable("the server cannot be reached: see that it runs, that the address is right and that nothing blocks the way"), err)
}

// bye closes a session, also when the context of its work has ended.
func bye(ctx context.Context, c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	_ = c.Close(ctx)
}
