package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// server is an open login to a server.
type server struct {
	endpoint
	db      *sql.DB
	limit   time.Duration // of one question
	version tool.Version
	mariadb bool
	started string // when the server was started, by its own clock
}

// connect logs in and asks who is there. Close what it returns.
func (e *Engine) connect(ctx context.Context, c events.InstanceConfig) (*server, error) {
	p, err := e.endpoint(c)
	if err != nil {
		return nil, err
	}
	return open(ctx, p, e.config.QueryTimeout)
}

func open(ctx context.Context, p endpoint, limit time.Duration) (*server, error) {
	cfg := driver.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd = p.network, p.address, p.user, p.secret.Reveal()
	cfg.TLS, cfg.Timeout = p.tls, p.timeout
	cfg.InterpolateParams, cfg.Logger = true, &driver.NopLogger{}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", rejected("the server cannot be reached as the instance's config says: correct it"), err)
	}
	s := &server{endpoint: p, db: sql.OpenDB(connector), limit: limit}
	s.db.SetMaxOpenConns(1)
	if err := s.introduce(ctx, p.timeout); err != nil {
		return nil, errors.Join(failure(err), s.db.Close())
	}
	return s, nil
}

func (s *server) introduce(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, 2*limit)
	defer cancel()
	version, err := s.one(ctx, "SELECT VERSION()")
	if err != nil {
		return err
	}
	s.version, s.mariadb = tool.ParseVersion(version), strings.Contains(strings.ToLower(version), "mariadb")
	s.started, err = s.start(ctx)
	return err
}

// start is when the server was started. Both are taken at the start of the statement, so their difference is the same
// each time.
func (s *server) start(ctx context.Context) (string, error) {
	return s.one(ctx, "SELECT UNIX_TIMESTAMP() - VARIABLE_VALUE FROM "+s.statusTable()+" WHERE VARIABLE_NAME = 'Uptime'")
}

func (s *server) statusTable() string {
	if s.mariadb {
		return "information_schema.GLOBAL_STATUS"
	}
	return "performance_schema.global_status"
}

func (s *server) close() error { return s.db.Close() }

// one is the single value that a query answers; what is NULL or missing is empty.
func (s *server) one(ctx context.Context, query string, args ...any) (string, error) {
	all, err := s.rows(ctx, query, args...)
	if err != nil || len(all) == 0 {
		return "", err
	}
	return all[0][0], nil
}

// rows are all rows of a query, as text.
func (s *server) rows(ctx context.Context, query string, args ...any) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	res, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	defer res.Close()
	columns, err := res.Columns()
	if err != nil {
		return nil, err
	}
	var all [][]string
	for res.Next() {
		row := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := res.Scan(into...); err != nil {
			return nil, fmt.Errorf("read an answer: %w", err)
		}
		text := make([]string, len(row))
		for i, v := range row {
			text[i] = v.String
		}
		all = append(all, text)
	}
	if err := res.Err(); err != nil {
		return nil, fmt.Errorf("read the answers: %w", err)
	}
	return all, nil
}

// do runs a statement.
func (s *server) do(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	if _, err := s.db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("tell the server: %w", err)
	}
	return nil
}

// flavour is what people call the server.
func (s *server) flavour() string {
	if s.mariadb {
		return "MariaDB"
	}
	return "MySQL"
}

// hasLibraries tells that the server keeps libraries of routines.
func (s *server) hasLibraries() bool {
	return !s.mariadb && !s.version.Less(tool.Version{Major: 9, Minor: 2})
}

// quote makes an identifier of a name.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// values makes a list of string literals that hold in every SQL mode.
func values(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("CONVERT(X'%x' USING utf8mb4)", n)
	}
	return strings.Join(out, ", ")
}
