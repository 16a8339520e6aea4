package postgrestest

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// Start runs a server for the time of the test. Without PostgreSQL the test is skipped, or fails where
// BACKUPBUS_REQUIRE_SERVERS is 1.
func Start(t testing.TB, more ...string) *Server {
	t.Helper()
	dir, err := executortest.MemoryDir("bbpg-") // open, unlike the folder of a test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the account of the server passes through
		t.Fatal(err)
	}
	s, err := Run(context.WithoutCancel(t.Context()), dir, more...)
	Missing(t, err)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Missing skips or fails the test if err says that there is no PostgreSQL.
func Missing(t testing.TB, err error) {
	t.Helper()
	switch {
	case !errors.Is(err, ErrMissing):
	case os.Getenv("BACKUPBUS_REQUIRE_SERVERS") == "1":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// DB opens a session of the superuser for the time of the test.
func (s *Server) DB(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	c, err := s.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	return c
}

// Exec runs statements, one by one, in a session of the superuser.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	c := s.DB(t, database)
	defer c.Close(t.Context())
	for _, statement := range statements {
		if _, err := c.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// CreateUser makes a role that can log in, with attributes such as REPLICATION.
func (s *Server) CreateUser(t testing.TB, name, password string, attributes ...string) {
	t.Helper()
	s.Exec(t, "postgres", "CREATE ROLE "+pgx.Identifier{name}.Sanitize()+" LOGIN "+strings.Join(attributes, " ")+
		" PASSWORD E'"+strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(password)+"'")
}

// CreateDatabase makes an empty database; options follow the name.
func (s *Server) CreateDatabase(t testing.TB, name string, options ...string) {
	t.Helper()
	s.Exec(t, "postgres", "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" "+strings.Join(options, " "))
}
