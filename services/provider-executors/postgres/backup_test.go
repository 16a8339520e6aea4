package postgres

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

// bank is two tables with an invariant across them: the money in both is constant in every snapshot.
const (
	accounts  = 200
	wealth    = 2 * accounts * 1000
	bankLeft  = `CREATE TABLE checking AS SELECT g AS id, 1000 AS amount FROM generate_series(1, 200) g`
	bankRight = `CREATE TABLE savings AS SELECT g AS id, 1000 AS amount FROM generate_series(1, 200) g`
	bankSum   = `SELECT (SELECT sum(amount) FROM checking)::int + (SELECT sum(amount) FROM savings)::int`
	journal   = `CREATE TABLE journal (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount int NOT NULL)`
)

// transfer moves money between the tables until stop is called, which tells how often.
func transfer(t testing.TB, s *postgrestest.Server, database string) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var moved atomic.Int64
	done := make(chan error, 2)
	for range 2 {
		c := s.DB(t, database)
		go func() { done <- transfers(ctx, c, &moved) }()
	}
	stop = sync.OnceValue(func() int64 {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		return moved.Load()
	})
	t.Cleanup(func() { stop() })
	return stop
}

func transfers(ctx context.Context, c *pgx.Conn, moved *atomic.Int64) error {
	for i := 1; ctx.Err() == nil; i++ {
		err := pgx.BeginFunc(context.WithoutCancel(ctx), c, func(tx pgx.Tx) error {
			id := i%accounts + 1
			for _, q := range []string{
				`UPDATE checking SET amount = amount - 7 WHERE id = $1`, `UPDATE savings SET amount = amount + 7 WHERE id = $1`,
				`INSERT INTO journal (amount) SELECT 7 WHERE $1 > 0`,
			} {
				if _, err := tx.Exec(context.WithoutCancel(ctx), q, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && sqlState(err) != "40P01" { // two writers may meet
			return err
		}
		moved.Add(1)
	}
	return nil
}

func TestBackup_OfABusyDatabaseIsOneMomentOfItAndIsProvenByRestore(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, bankLeft, bankRight, journal, bigTable)
	stop := transfer(t, s, source)
	x := w.executor(t)
	j := uniqueJob(config(s, source))
	j.Proof = events.ProofRestored
	o := take(t, x, j)
	if moved := stop(); moved < 10 {
		t.Fatalf("only %d transfers ran beside the backup", moved)
	}

	m := manifest(t, x, *o.Ref)
	tables := m.Objects[len(m.Objects)-1].Tables
	if o.Proof != events.ProofRestored || len(tables) != 4 || tables["public.checking"] != accounts || tables["public.big"] != 25000 {
		t.Errorf("proof %s, tables %v", o.Proof, tables)
	}
	if m.EngineVersion == "" || m.Position == "" || m.Fingerprint == "" || m.Tool.Name != "pg_dump" || m.Tool.Version == "" {
		t.Errorf("manifest %+v", m)
	}
	target := unique("restored")
	executortest.Restore(t, x, uniqueRestore(o, config(s), target))
	if sum := value[int](t, s, target, bankSum); sum != wealth {
		t.Errorf("the copy holds %d, want %d: it is not one moment", sum, wealth)
	}
	if n := value[int64](t, s, target, `SELECT count(*) FROM journal`); n != tables["public.journal"] {
		t.Errorf("%d entries restored, %d counted in the dump's snapshot", n, tables["public.journal"])
	}
	eventually(t, "its sessions are gone", func() bool { return sessions(t, s, j) == 0 })
}

// rich is a database with what dumps have trouble with.
var rich = []string{
	`CREATE EXTENSION IF NOT EXISTS citext`,
	`CREATE SCHEMA "Größe ""x"" = y"`,
	`CREATE TABLE "Größe ""x"" = y"."select . from" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, double int GENERATED ALWAYS AS (id * 2) STORED, "-n" citext)`,
	`INSERT INTO "Größe ""x"" = y"."select . from" ("-n") SELECT 'naïve ' || g FROM generate_series(1, 10) g`,
	`CREATE TABLE parted (id int, at date NOT NULL) PARTITION BY RANGE (at)`,
	`CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-07-01')`,
	`CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-07-01') TO ('2027-01-01')`,
	`INSERT INTO parted SELECT g, date '2026-01-01' + g FROM generate_series(0, 300) g`,
	`CREATE TABLE parent (a int)`, `CREATE TABLE child (b int) INHERITS (parent)`, `INSERT INTO child VALUES (1, 2)`,
	`CREATE VIEW seen AS SELECT count(*) FROM parted`,
	`CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM parted`,
	`CREATE FUNCTION half(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2'`,
	`CREATE INDEX ON parted (half(id))`,
	`CREATE TABLE guarded (who text)`, `ALTER TABLE guarded ENABLE ROW LEVEL SECURITY`, `CREATE POLICY own ON guarded USING (who = current_user)`,
	`INSERT INTO guarded VALUES ('somebody')`,
	`CREATE TABLE blobs (id oid)`, `INSERT INTO blobs SELECT lo_from_bytea(0, decode(repeat('00ff', 5000), 'hex'))`,
	`CREATE UNLOGGED TABLE quick AS SELECT 1 AS one`,
	`CREATE SEQUENCE counter`, `SELECT setval('counter', 41)`,
	`CREATE TABLE empty ()`,
}

func TestRestore_KeepsEveryKindOfObject(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, rich...)
	x := w.executor(t)
	j := uniqueJob(config(s, source))
	j.Proof = events.ProofRestored
	o := take(t, x, j)
	target := unique("restored")
	executortest.Restore(t, x, uniqueRestore(o, config(s), target))
	if want, got := content(t, s, source), content(t, s, target); want != got {
		t.Errorf("content %s, want %s", got, want)
	}
	for query, want := range map[string]int64{
		`SELECT sum(length(lo_get(id))) FROM blobs`:                                      10000,
		`SELECT last_value FROM counter`:                                                 41,
		`SELECT count FROM kept`:                                                         301,
		`SELECT count(*) FROM pg_policies`:                                               1,
		`SELECT max(double) FROM "Größe ""x"" = y"."select . from"`:                      20,
		`SELECT count(*) FROM pg_inherits`:                                               5, // partitions, their indexes and the child
		`SELECT count(*) FROM pg_extension WHERE extname = 'citext'`:                     1,
		`SELECT count(*) FROM pg_class WHERE relname = 'quick' AND relpersistence = 'u'`: 1,
	} {
		if got := value[int64](t, s, target, "SELECT ("+query+")::bigint"); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}

// oddNames are what a shell, an option parser or libpq would take for something else.
var oddNames = []string{
	`dbname=postgres host=127.0.0.1`, `postgresql://localhost/postgres`, `--help`, `a=b; with 'quotes" and $(touch x) \`, `Größe 大`,
	strings.Repeat("n", 63), `{0}`,
}

func TestBackup_NamesOfDatabasesAreNamesAndNothingElse(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	for _, name := range oddNames {
		s.CreateDatabase(t, name)
		s.Exec(t, name, `CREATE TABLE mine AS SELECT current_database()::text AS db`)
	}
	x := w.executor(t)
	o := take(t, x, uniqueJob(config(s, oddNames...)))
	again := func(how string, put func()) {
		for _, name := range oddNames {
			s.Exec(t, "postgres", "DROP DATABASE "+ident(name)+" WITH (FORCE)")
		}
		put()
		for _, name := range oddNames {
			if got := value[string](t, s, name, `SELECT db FROM mine`); got != name {
				t.Errorf("%s, the dump of %q is that of %q", how, name, got)
			}
		}
	}
	again("restored", func() {
		executortest.Restore(t, x, uniqueRestore(o, config(s), ""))
	})
	again("by hand", func() { byHand(t, w.folder(*o.Ref), s, "") })
}

// byHand runs the restore lines of a manifest with nothing but stock tools and a file of the age key.
func byHand(t testing.TB, folder string, s *postgrestest.Server, key string) {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(folder, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Objects []struct{ Restore string } }
	if err := json.Unmarshal(doc, &m); err != nil {
		t.Fatal(err)
	}
	port := strings.TrimPrefix(filepath.Base(s.Address), ".s.PGSQL.")
	for _, o := range m.Objects {
		executortest.ByHand(t, folder, o.Restore, key, "PGHOST="+filepath.Dir(s.Address), "PGPORT="+port, "PGUSER="+postgrestest.Superuser)
	}
}

func TestBackup_OfAWholeServerRestoresRolesAndPropertiesOnAnother(t *testing.T) {
	t.Parallel()
	from, to, w := postgrestest.Start(t), postgrestest.Start(t), newWorld(t)
	from.CreateUser(t, "app", "secret of app", "CONNECTION LIMIT 7")
	from.CreateUser(t, `odd " role; --`, "x")
	from.Exec(t, "postgres", `CREATE ROLE readers`, `GRANT readers TO app`, `COMMENT ON ROLE app IS 'the; ''application'''`, `ALTER ROLE app SET work_mem TO '5MB'`)
	from.CreateDatabase(t, "latin", "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' OWNER app")
	from.Exec(t, "latin", `CREATE TABLE words AS SELECT 'naïve'::text AS w`, `ALTER TABLE words OWNER TO app`, `GRANT SELECT ON words TO readers`, `CREATE TABLE mine AS SELECT 'latin'::text AS db`)
	from.Exec(t, "postgres", `ALTER DATABASE latin SET search_path TO "$user", public, pg_catalog`, `ALTER ROLE app IN DATABASE latin SET statement_timeout TO '1234'`,
		`ALTER DATABASE latin CONNECTION LIMIT 9`, `REVOKE CONNECT ON DATABASE latin FROM PUBLIC`, `GRANT CONNECT ON DATABASE latin TO readers`, `COMMENT ON DATABASE latin IS 'it''s latin'`)
	to.CreateUser(t, "readers", "kept password")
	kept := value[string](t, to, "postgres", `SELECT rolpassword FROM pg_authid WHERE rolname = 'readers'`)

	x := w.executor(t)
	j := uniqueJob(config(from))
	j.Proof = events.ProofRestored
	o := take(t, x, j)
	executortest.Restore(t, x, uniqueRestore(o, config(to), ""))
	for _, query := range []string{
		`SELECT rolpassword || rolconnlimit FROM pg_authid WHERE rolname = 'app'`,
		`SELECT shobj_description(oid, 'pg_authid') FROM pg_authid WHERE rolname = 'app'`,
		`SELECT setconfig::text FROM pg_db_role_setting WHERE setdatabase = 0`,
		`SELECT string_agg(setconfig::text, ' ' ORDER BY setconfig) FROM pg_db_role_setting WHERE setdatabase <> 0`,
		`SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles`,
		`SELECT pg_encoding_to_char(encoding) || datcollate || datctype || datconnlimit || pg_get_userbyid(datdba) || (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(datacl) a) FROM pg_database WHERE datname = 'latin'`,
		`SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'latin'`,
	} {
		if want, got := value[string](t, from, "postgres", query), value[string](t, to, "postgres", query); want != got {
			t.Errorf("%s\nwant %s\ngot  %s", query, want, got)
		}
	}
	query := `SELECT relacl::text || tableowner || w FROM pg_class, pg_tables, words WHERE relname = 'words' AND tablename = 'words'`
	if want, got := value[string](t, from, "latin", query), value[string](t, to, "latin", query); want != got {
		t.Errorf("rights want %s, got %s", want, got)
	}
	if now := value[string](t, to, "postgres", `SELECT rolpassword FROM pg_authid WHERE rolname = 'readers'`); now != kept {
		t.Error("the restore changed the password of a role that was there")
	}
	if n := value[int](t, to, "postgres", `SELECT count(*)::int FROM pg_database WHERE starts_with(datname, '_backupbus_')`); n != 0 {
		t.Errorf("%d databases of the restore are left", n)
	}

	byHand(t, w.folder(*o.Ref), postgrestest.Start(t), "")
}
