package executors_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

// aim is where a restore goes.
type aim struct {
	instance  events.InstanceConfig
	database  string
	overwrite bool
	during    func()                   // when the restore was asked for
	after     func()                   // when it has ended
	holds     func() map[string]string // what is there, and beside it
}

func TestFault_OfARestoreEndsItOnceWithAReasonForPeople(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, f *faulty, to *aim)
		want  *events.Failure // none: the copy is in the target
	}{
		{"none", func(*testing.T, *faulty, *aim) {}, nil},
		{"target that holds data and may be overwritten", func(t *testing.T, _ *faulty, to *aim) {
			to.fill(t)
			to.overwrite = true
		}, nil},
		{"target that holds data", func(t *testing.T, _ *faulty, to *aim) { to.fill(t) },
			&events.Failure{Code: events.AlreadyExists, Category: events.ByUser,
				Message: "the target holds data: choose another one, or restore with overwrite"}},
		{"deleted object", func(t *testing.T, f *faulty, to *aim) {
			to.fill(t)
			to.overwrite = true
			f.verify = func(*pipelinetest.Pipeline) { f.remove(t) }
		}, &events.Failure{Code: events.NotFound, Category: events.BySystem,
			Message: `the copy is not in storage "default": it was removed, or never completed`}},
		{"flipped byte", func(t *testing.T, f *faulty, to *aim) {
			to.fill(t)
			to.overwrite = true
			f.verify = func(*pipelinetest.Pipeline) { f.flip(t) }
		}, &events.Failure{Code: events.Corrupt, Category: events.BySystem,
			Message: "the stored object differs from its manifest: the copy is damaged"}},
		{"wrong key", func(t *testing.T, f *faulty, _ *aim) { f.otherKey(t) },
			&events.Failure{Code: events.PermissionDenied, Category: events.BySystem,
				Message: "the copy is encrypted to other keys than this executor has: add the identity of one of its recipients to the executor's setting identities"}},
		{"disk of the target full", func(t *testing.T, f *faulty, to *aim) {
			f.instance = f.database(t, "large.db", 3000)
			executortest.SmallDisk(t, filepath.Dir(to.instance.File))
		}, &events.Failure{Code: events.StorageFull, Category: events.BySystem, Retryable: true,
			Message: "the folder of the target is full: it needs as much free space as the database has bytes, twice with overwrite: free space there, or choose another target"}},
		{"wrong password of MariaDB", func(t *testing.T, f *faulty, to *aim) {
			s := f.onMariaDB(t, password)
			to.instance, to.database = f.instance, "restored"
			to.instance.CredentialRef = "file:" + f.file(t, "wrong", "wrong "+executortest.Canary, 0o600)
			to.holds = func() map[string]string { return tables(t, s) }
		}, &events.Failure{Code: events.PermissionDenied, Category: events.ByUser,
			Message: "the server does not let the account in: correct the instance's user or the password behind its credentialRef, and see that the account is not locked", ProviderCode: "1045"}},
		{"PostgreSQL killed", killedPostgres, &events.Failure{Code: events.ProviderUnavailable, Category: events.ByProvider, Retryable: true,
			Message: "the server that the copy is loaded into went away: see its log and try again; what was loaded may be left there: drop the databases whose names begin with _backupbus_{}_"}},
		{"MariaDB killed", killedMariaDB, &events.Failure{Code: events.ProviderUnavailable, Category: events.BySystem, Retryable: true,
			Message: "a part of the copy may be left in the target, which could not be emptied again: look at it, then drop the database or restore with overwrite. the connection to the server broke: see that it runs and does not end sessions", ProviderCode: "2006"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			to := newAim(t, f)
			c.spoil(t, f, to)
			p, id := f.run(t, 2)
			p.Await("shop", id, events.Succeeded)
			if f.verify != nil {
				f.verify(p)
			}
			before, copies := to.holds(), f.stored(t)
			restore := to.ask(t, f, p, id)
			if to.during != nil {
				to.during()
			}
			p.Await("shop", restore, events.Succeeded, events.Failed)
			if to.after != nil {
				to.after()
			}

			told, last := f.toldOfRestore(t, p, restore)
			want := []string{"requested", "started", "succeeded"}
			if c.want != nil {
				want[2] = "failed " + string(c.want.Code)
				c.want.Message = strings.ReplaceAll(c.want.Message, "{}", restore)
			}
			if diff := cmp.Diff(want, told); diff != "" {
				t.Error(diff)
			}
			if last.Error != nil && last.Error.ProviderCode == "2013" { // the same, noticed a moment earlier
				last.Error.ProviderCode = "2006"
			}
			if diff := cmp.Diff(c.want, last.Error); diff != "" {
				t.Error(diff)
			}
			if c.want == nil {
				before = map[string]string{to.instance.File: content(t, f.instance.File)}
			}
			if diff := cmp.Diff(before, to.holds()); diff != "" {
				t.Errorf("the target (-want +got): %.3000s", diff)
			}
			if failed := last.State == lifecycle.Failed; last.EndTime.IsZero() || failed != (c.want != nil) || failed != (last.RestoredBytes == nil) {
				t.Errorf("record %+v", last)
			}
			if diff := cmp.Diff(copies, f.stored(t)); diff != "" {
				t.Errorf("the copies: %.3000s", diff)
			}
			if all := steps(p, id); !cmp.Equal(all, []string{"requested", "started", "succeeded"}) {
				t.Errorf("the backup has %q", all)
			}
		})
	}
}

// toldOfRestore is told of a restore.
func (f *faulty) toldOfRestore(t *testing.T, p *pipelinetest.Pipeline, id string) ([]string, events.Restore) {
	t.Helper()
	p.Executors.Stop()
	all, last := life(t, p, id, func(r events.Restore) *events.Failure { return r.Error })
	f.unseen(t, p, restores+"/"+id)
	return all, last
}

const restores = "/api/v1/projects/shop/restores"

// newAim is a file that is not there, in a folder of its own.
func newAim(t *testing.T, f *faulty) *aim {
	t.Helper()
	dir := filepath.Join(f.dir, "target")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return &aim{instance: events.InstanceConfig{Engine: "sqlite", File: filepath.Join(dir, "new.db")}, holds: func() map[string]string {
		all := below(t, dir)
		for path := range all {
			all[path] = content(t, path)
		}
		return all
	}}
}

// fill gives the target other rows.
func (to *aim) fill(t *testing.T) {
	t.Helper()
	other := &faulty{dir: filepath.Dir(to.instance.File)}
	other.database(t, filepath.Base(to.instance.File), 5)
}

// ask asks for the restore.
func (to *aim) ask(t *testing.T, f *faulty, p *pipelinetest.Pipeline, id string) (restoreID string) {
	t.Helper()
	config, err := json.Marshal(to.instance)
	if err != nil {
		t.Fatal(err)
	}
	p.RegisterAs("shop", "target", f.provider, string(config))
	body, err := json.Marshal(map[string]events.Target{"target": {Instance: "target", Database: to.database, Overwrite: to.overwrite}})
	if err != nil {
		t.Fatal(err)
	}
	return pipelinetest.JSON[struct{ RestoreID string }](p, http.MethodPost, base+"/"+id+":restore", string(body)).RestoreID
}

// killedPostgres kills the target's server while it loads a table.
func killedPostgres(t *testing.T, f *faulty, to *aim) {
	t.Helper()
	s := f.onPostgres(t, password, "SUPERUSER")
	s.Exec(t, "shop", `CREATE FUNCTION halt() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN IF current_database() <> 'shop' THEN PERFORM pg_sleep(1000); END IF; RETURN true; END $$`,
		`CREATE TABLE halting (a int CHECK (halt()))`, `INSERT INTO halting VALUES (1)`)
	f.instance.SuccessfulWhen = events.ProofStored
	to.instance, to.database = f.instance, "restored"
	watch := s.DB(t, "shop")
	to.during = func() {
		eventually(t, "the table is being loaded", func() (loading bool) {
			if err := watch.QueryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep')").Scan(&loading); err != nil {
				t.Fatal(err)
			}
			return loading
		})
		s.Kill()
	}
	to.after = func() {
		again, err := postgrestest.Open(t.Context(), s.Dir, filepath.Join(s.Dir, "data"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := again.Stop(); err != nil {
				t.Error(err)
			}
		})
		watch = again.DB(t, "shop")
	}
	to.holds = func() map[string]string {
		found, err := watch.Query(t.Context(), "SELECT datname FROM pg_database WHERE NOT starts_with(datname, '_backupbus_')") // of which the reason tells
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for found.Next() {
			var name string
			if err := found.Scan(&name); err != nil {
				t.Fatal(err)
			}
			all[name] = ""
		}
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
}

// killedMariaDB does so in the middle of the statements.
func killedMariaDB(t *testing.T, f *faulty, to *aim) {
	t.Helper()
	s := f.onMariaDB(t, password)
	execMariaDB(t, s, "CREATE DATABASE restored", "GRANT ALL ON restored.* TO backup")
	gate := filepath.Join(f.dir, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	f.tool(t, "mariadb", fmt.Sprintf(`{
while IFS= read -r line; do
	printf '%%s\n' "$line"
	case $line in "INSERT INTO"*) break ;; esac
done
read line <%s
cat
} | $tool "$@"`, gate))
	f.instance.SuccessfulWhen = events.ProofStored
	to.instance, to.database = f.instance, "restored"
	to.holds = func() map[string]string {
		all := tables(t, s)
		for name := range all {
			if strings.HasPrefix(name, "restored.") { // of which the reason tells
				delete(all, name)
			}
		}
		return all
	}
	to.during = func() {
		eventually(t, "a table was made", func() bool { _, made := tables(t, s)["restored.orders"]; return made })
		s.Kill()
		if err := os.WriteFile(gate, []byte("\n"), 0); err != nil {
			t.Fatal(err)
		}
	}
	to.after = func() {
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func tables(t *testing.T, s *mysqltest.Server) map[string]string {
	t.Helper()
	return rows(t, s.Root(), "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME), '' FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'")
}

// rows are a query's, of two texts each.
func rows(t *testing.T, db *sql.DB, q string) map[string]string {
	t.Helper()
	found, err := db.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	all := map[string]string{}
	for found.Next() {
		var k, v string
		if err := found.Scan(&k, &v); err != nil {
			t.Fatal(err)
		}
		all[k] = v
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// content tells what the table of a file holds.
func content(t *testing.T, file string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := fmt.Sprint(rows(t, db, "SELECT id, hex(substr(body, 993)) FROM t"))
	return fmt.Sprintf("%d bytes, %x", len(all), sha256.Sum256([]byte(all)))
}
