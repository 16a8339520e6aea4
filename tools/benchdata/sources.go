package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	driver "github.com/go-sql-driver/mysql"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

// source is a database to be taken, by the executor and by a shell line.
type source struct {
	provider string
	config   events.InstanceConfig
	bare     func(file string) string
	close    func() error
}

type opener func(ctx context.Context, dir string, size int64) (*source, error)

var sources = map[string]opener{"mysql": openMySQL, "postgres": openPostgres, "sqlite": openSQLite}

const columns = "id, at, doc, words, token"

func openMySQL(ctx context.Context, dir string, size int64) (_ *source, err error) {
	s, err := mysqltest.Run(ctx, mysqltest.MariaDB, filepath.Join(dir, "mysql"), "--innodb-buffer-pool-size=512M")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if err := s.CreateUser(ctx, "bench", "", "ALL ON *.*"); err != nil {
		return nil, err
	}
	driver.RegisterReaderHandler("rows", func() io.Reader { return rows(size, '\t') })
	for _, q := range []string{
		"CREATE DATABASE bench",
		"CREATE TABLE bench.events (id BIGINT PRIMARY KEY, at DATETIME, doc TEXT, words TEXT, token CHAR(32))",
		"LOAD DATA LOCAL INFILE 'Reader::rows' INTO TABLE bench.events",
	} {
		if _, err := s.Root().ExecContext(ctx, q); err != nil {
			return nil, fmt.Errorf("%.40s: %w", q, err)
		}
	}
	return &source{
		provider: "mysql", config: events.InstanceConfig{Address: s.Address(), User: "bench", Databases: []string{"bench"}},
		bare: func(file string) string {
			return "mariadb-dump --no-defaults --socket=" + s.Address() + " --user=bench --single-transaction --quick --hex-blob --routines --events --triggers bench | zstd -q -T2 -3 -o " + file
		},
		close: func() error { s.Stop(); return nil },
	}, nil
}

func openPostgres(ctx context.Context, dir string, size int64) (_ *source, err error) {
	home := filepath.Join(dir, "postgres")
	if err := os.Mkdir(home, 0o755); err != nil {
		return nil, err
	}
	s, err := postgrestest.Run(ctx, home)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	admin, err := s.Connect(ctx, "postgres")
	if err != nil {
		return nil, err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "CREATE DATABASE bench"); err != nil {
		return nil, err
	}
	c, err := s.Connect(ctx, "bench")
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, "CREATE TABLE events (id BIGINT PRIMARY KEY, at TIMESTAMP, doc TEXT, words TEXT, token CHAR(32))"); err != nil {
		return nil, err
	}
	if _, err := c.PgConn().CopyFrom(ctx, rows(size, '\t'), "COPY events ("+columns+") FROM STDIN"); err != nil {
		return nil, err
	}
	if _, err := c.Exec(ctx, "VACUUM ANALYZE events"); err != nil { // as a database that has lived a while
		return nil, err
	}
	socket := s.Address
	return &source{
		provider: "postgres", config: events.InstanceConfig{Address: socket, User: postgrestest.Superuser, Databases: []string{"bench"}},
		bare: func(file string) string {
			return pgDump() + " -h " + filepath.Dir(socket) + " -U " + postgrestest.Superuser + " -p " + strings.TrimPrefix(filepath.Ext(socket), ".") + " -Fc -Z0 bench | zstd -q -T2 -3 -o " + file
		},
		close: s.Stop,
	}, nil
}

// pgDump is the newest one itself: what Debian has on PATH is a script around it.
func pgDump() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	if len(found) == 0 {
		return "pg_dump"
	}
	return found[len(found)-1]
}

func openSQLite(ctx context.Context, dir string, size int64) (*source, error) {
	file := filepath.Join(dir, "bench.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=synchronous(0)&_pragma=journal_mode(off)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "CREATE TABLE events (id INTEGER PRIMARY KEY, at TEXT, doc TEXT, words TEXT, token TEXT); BEGIN"); err != nil {
		return nil, err
	}
	insert, err := db.PrepareContext(ctx, "INSERT INTO events VALUES (?, ?, ?, ?, ?)")
	if err != nil {
		return nil, err
	}
	for r := newRow(); r.written < size; {
		r.next()
		if _, err := insert.ExecContext(ctx, r.id, r.at, r.doc, r.words, r.token); err != nil {
			return nil, err
		}
	}
	if _, err := db.ExecContext(ctx, "COMMIT"); err != nil {
		return nil, err
	}
	if err := errors.Join(insert.Close(), db.Close()); err != nil {
		return nil, err
	}
	return &source{
		provider: "sqlite", config: events.InstanceConfig{File: file},
		// The shell's backup writes a file and no stream; a plain cat would be quicker and no backup.
		bare: func(to string) string {
			return "sqlite3 " + file + " '.backup " + to + ".db' && zstd -q -T2 -3 " + to + ".db -o " + to + " && rm " + to + ".db"
		},
		close: func() error { return os.Remove(file) },
	}, nil
}

// row is one event of a shop: what compresses, what compresses a little, what does not.
type row struct {
	id                    int64
	at, doc, words, token string
	rand                  *rand.Rand
	written               int64
}

func newRow() *row { return &row{rand: rand.New(rand.NewPCG(1, 2))} }

var dictionary = []string{"order", "shipped", "paid", "returned", "customer", "warehouse", "invoice", "carrier", "delayed", "gift", "express", "parcel", "north", "south"}

func (r *row) next() {
	r.id++
	r.at = fmt.Sprintf("2026-%02d-%02d %02d:%02d:%02d", r.rand.IntN(12)+1, r.rand.IntN(28)+1, r.rand.IntN(24), r.rand.IntN(60), r.rand.IntN(60))
	r.doc = fmt.Sprintf(`{"customer":%d,"total":%d.%02d,"lines":[{"sku":"A-%06d","n":%d},{"sku":"B-%06d","n":%d}],"state":"%s"}`,
		r.rand.IntN(1e6), r.rand.IntN(1e4), r.rand.IntN(100), r.rand.IntN(1e6), r.rand.IntN(9), r.rand.IntN(1e6), r.rand.IntN(9), dictionary[r.rand.IntN(len(dictionary))])
	r.words = ""
	for range 40 {
		r.words += dictionary[r.rand.IntN(len(dictionary))] + " "
	}
	r.token = fmt.Sprintf("%016x%016x", r.rand.Uint64(), r.rand.Uint64())
	r.written += int64(20 + len(r.at) + len(r.doc) + len(r.words) + len(r.token))
}

// rows is a stream of rows as LOAD DATA and COPY read them, until about size bytes.
func rows(size int64, sep byte) io.Reader {
	pr, pw := io.Pipe()
	go func() {
		buf := make([]byte, 0, 1<<20)
		for r := newRow(); r.written < size; {
			r.next()
			for i, v := range []string{fmt.Sprint(r.id), r.at, r.doc, r.words, r.token} {
				if i > 0 {
					buf = append(buf, sep)
				}
				buf = append(buf, v...)
			}
			if buf = append(buf, '\n'); len(buf) > 1<<20-4096 {
				if _, err := pw.Write(buf); err != nil {
					return
				}
				buf = buf[:0]
			}
		}
		_, _ = pw.Write(buf)
		_ = pw.Close()
	}()
	return pr
}
