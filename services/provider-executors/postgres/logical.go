package postgres

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
)

// The objects of a logical copy; the databases' begin with databasePrefix.
const (
	globalsPart    = "globals.sql"
	databasesPart  = "databases.sql"
	databasePrefix = "db-"
)

var _, _ engine.Scratching = (*logical)(nil), (*physical)(nil)

// logical is the source of a backup by pg_dump.
type logical struct {
	*attempt
	parts         []engine.Part
	dump, globals program
	close         func() error
}

func (a *attempt) logical(ctx context.Context, c *pgx.Conn) (engine.Source, error) {
	l := &logical{attempt: a, close: func() error { return a.end(ctx) }}
	whole := named(a.job) == nil
	if err := l.find(ctx, whole); err != nil {
		return nil, err
	}
	if err := a.mark(ctx, c); err != nil { // before the databases are listed: nothing in the copy is older
		return nil, err
	}
	all, err := databasesOf(ctx, c, a.job)
	if err != nil {
		return nil, err
	}
	if !a.facts.superuser {
		if err := enoughFree(all); err != nil {
			return nil, err
		}
		if _, err := a.server.readable(ctx, all, a.marker); err != nil {
			return nil, err
		}
	}
	if whole {
		l.parts = append(l.parts, engine.Part{Name: globalsPart, Recipe: "| psql -X -d postgres", Stream: l.streamGlobals(through(all))})
	}
	l.parts = append(l.parts, engine.Part{Name: databasesPart, Recipe: "| psql -X -d postgres", Stream: func(_ context.Context, w io.Writer) (archive.Content, error) {
		return archive.Content{}, writeDatabases(w, all, a.facts.version.Major)
	}})
	for _, d := range all {
		l.parts = append(l.parts, engine.Part{
			Name: partName(d.Name), Database: d.Name, Bytes: d.size, Stream: l.stream(d.Name),
			Recipe: "| pg_restore --exit-on-error -d " + shellDatabase(d.Name),
		})
	}
	return l, nil
}

// enoughFree: the dump, the session that keeps the snapshot, and one that is just leaving are in a database at once.
func enoughFree(all []database) error {
	for _, d := range all {
		if d.free != nil && *d.free < needed {
			return unavailable(fmt.Sprintf("the database %q has no connection left for a backup, which needs three: raise its CONNECTION LIMIT, or wait", d.Name))
		}
	}
	return nil
}

// find looks for every program that the backup and its proof will need, before the server has work.
func (l *logical) find(ctx context.Context, whole bool) (err error) {
	major := l.facts.version.Major
	if l.dump, err = l.engine.program(ctx, "pg_dump", major); err != nil {
		return err
	}
	if whole {
		if l.globals, err = l.engine.program(ctx, "pg_dumpall", major); err != nil {
			return err
		}
	}
	if l.job.Proof == events.ProofStored {
		return nil
	}
	if _, err = l.engine.program(ctx, "pg_restore", l.dump.version.Major); err != nil || l.job.Proof != events.ProofRestored {
		return err
	}
	_, err = l.engine.scratchPrograms(ctx, major)
	return err
}

// Parts implements engine.Source.
func (l *logical) Parts() []engine.Part { return l.parts }

// ScratchNeed implements engine.Scratching. The databases lie in the scratch server one after another.
func (l *logical) ScratchNeed(to events.Proof) int64 {
	if to != events.ProofRestored {
		return 0
	}
	var largest int64
	for _, p := range l.parts {
		largest = max(largest, p.Bytes)
	}
	return largest + scratchSelf
}

// Close implements engine.Source.
func (l *logical) Close() error { return l.close() }

// About implements engine.Source.
func (l *logical) About() engine.About {
	return engine.About{
		Kind: engine.Logical, EngineVersion: l.facts.version.Text,
		Tool:            archive.Tool{Name: "pg_dump", Version: l.dump.version.Text, Flags: dumpFlags},
		ConsistencyTime: l.began, Position: l.position, Fingerprint: l.fingerprint,
	}
}

// through is the database that pg_dumpall connects to; empty: it looks for one itself. Its option takes
// what has = in it for a whole conninfo.
func through(all []database) string {
	for _, d := range all {
		if plainName.MatchString(d.Name) {
			return d.Name
		}
	}
	return ""
}

// partName is the object of a database: its name if that is one, escaped if not.
func partName(database string) string {
	token, _ := events.Token(database) // databasesOf has refused what has none
	return databasePrefix + token + ".dump"
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// shellDatabase is a database as an argument of pg_restore in a shell line.
func shellDatabase(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return "'" + strings.ReplaceAll("dbname="+connQuote(name), "'", `'\''`) + "'"
}
