package executors_test

import (
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

func TestFault_EndsTheBackupOnceWithAReasonForPeople(t *testing.T) {
	t.Parallel()
	once := func(code events.Code) []string { return []string{"requested", "started", "failed " + string(code)} }
	again := func(code events.Code) []string {
		return []string{"requested", "started", "attempt_failed " + string(code), "started", "failed " + string(code)}
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, f *faulty)
		steps []string
		want  events.Failure
	}{
		{"database that is not there", func(_ *testing.T, f *faulty) { f.instance.File += ".absent" },
			once(events.NotFound), events.Failure{Category: events.ByUser,
				Message: "the database file does not exist where the executor runs: correct the instance's file"}},
		{"wrong password", func(t *testing.T, f *faulty) { f.onPostgres(t, "wrong "+executortest.Canary, reader) },
			once(events.PermissionDenied), events.Failure{Category: events.ByUser,
				Message: "the server refuses the login: see the instance's user and credentialRef, and pg_hba.conf of the server", ProviderCode: "28P01"}},
		{"wrong password of MariaDB", func(t *testing.T, f *faulty) { f.onMariaDB(t, "wrong "+executortest.Canary) },
			once(events.PermissionDenied), events.Failure{Category: events.ByUser,
				Message: "the server does not let the account in: correct the instance's user or the password behind its credentialRef, and see that the account is not locked", ProviderCode: "1045"}},
		{"MariaDB killed", func(t *testing.T, f *faulty) {
			s := f.onMariaDB(t, password)
			g := gateOfMariaDB(t, s)
			f.during = func(*pipelinetest.Pipeline) {
				g.reached()
				s.Kill()
			}
		}, again(events.ProviderUnavailable), events.Failure{Category: events.BySystem, Retryable: true,
			Message: "the server cannot be reached, or the connection to it broke: see that it runs and that the executor's machine may reach it"}},
		{"missing privilege", func(t *testing.T, f *faulty) { f.onPostgres(t, password) },
			once(events.PermissionDenied), events.Failure{Category: events.ByUser,
				Message: "1 of the tables and sequences cannot be read: the user of the instance may not read everything: GRANT pg_read_all_data TO it (PostgreSQL 14 and newer), or USAGE on every schema and SELECT on every table and sequence; large objects need their owner or a superuser"}},
		{"tool missing", func(t *testing.T, f *faulty) {
			f.onPostgres(t, password, reader)
			f.executors.Tools = map[string]string{"pg_dump": "/nowhere/pg_dump"}
		}, once(events.ProviderRejected), events.Failure{Category: events.ByUser,
			Message: "the program configured as pg_dump cannot be run where the executor runs: correct the executor's setting tools"}},
		{"tool killed", func(t *testing.T, f *faulty) {
			f.onPostgres(t, password, reader)
			f.tool(t, "pg_dump", `$tool "$@" | head -c 1000; kill -9 $$`)
		}, again(events.Internal), events.Failure{Category: events.BySystem, Retryable: true,
			Message: "a program of PostgreSQL was killed where the executor runs: see whether the machine is short of memory"}},
		{"server killed", func(t *testing.T, f *faulty) {
			s := f.onPostgres(t, password, reader)
			g := gateOfPostgres(t, s)
			f.during = func(*pipelinetest.Pipeline) {
				g.reached()
				s.Kill()
			}
		}, again(events.ProviderUnavailable), events.Failure{Category: events.ByProvider, Retryable: true,
			Message: "the server cannot be reached: see that it runs, that the address is right and that nothing blocks the way"}},
		{"table altered in the middle", func(t *testing.T, f *faulty) {
			s := f.onMariaDB(t, password)
			execMariaDB(t, s, "CREATE TABLE shop.zz (id INT)", "INSERT INTO shop.zz VALUES (1)")
			g := gateOfMariaDB(t, s)
			f.during = func(*pipelinetest.Pipeline) {
				for _, column := range []string{"a", "b"} { // in each of two attempts
					g.reached()
					execMariaDB(t, s, "ALTER TABLE shop.zz ADD COLUMN "+column+" INT, FORCE")
					g.pass()
				}
			}
		}, again(events.ProviderUnavailable), events.Failure{Category: events.ByUser, Retryable: true,
			Message: "a table or view was dropped, altered or is broken (a view on what is gone) while the tool read it: try again when no schema change runs, and mend what SHOW CREATE VIEW refuses", ProviderCode: "1412"}},
		{"table dropped in the middle", func(t *testing.T, f *faulty) {
			s := f.onPostgres(t, password, reader)
			s.Exec(t, "shop", "CREATE TABLE one (a int)", "CREATE TABLE two (a int)")
			g := gateOfPostgres(t, s)
			f.during = func(*pipelinetest.Pipeline) {
				for _, table := range []string{"one", "two"} { // in each of two attempts
					g.reached()
					s.Exec(t, "shop", "DROP TABLE "+table)
					g.pass()
				}
			}
		}, again(events.ProviderUnavailable), events.Failure{Category: events.ByProvider, Retryable: true,
			Message: "a table went away while the copy began: the backup can be tried again"}},
		{"disk full", func(t *testing.T, f *faulty) {
			f.instance = f.database(t, "large.db", 3000)
			executortest.SmallDisk(t, f.store)
		}, again(events.StorageFull), events.Failure{Category: events.BySystem, Retryable: true,
			Message: `storage "default" is full: free space there or give the instance another storage`}},
		{"storage that refuses", func(t *testing.T, f *faulty) {
			executortest.SmallDisk(t, f.store)
			f.started = func() {
				if err := syscall.Mount("tmpfs", f.store, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
					t.Fatal(err)
				}
			}
		}, once(events.PermissionDenied), events.Failure{Category: events.BySystem,
			Message: `storage "default" does not let this executor in: give its user the right to create, read and delete there`}},
		{"key of others", func(t *testing.T, f *faulty) {
			f.executors.Identities, _ = f.identity(t, "own")
			_, others := f.identity(t, "others")
			f.instance.EncryptTo = []string{others}
		}, once(events.ProviderRejected), events.Failure{Category: events.ByUser,
			Message: "the copies of this instance are encrypted to keys that the executor does not have, so they cannot be proven: give it one of the identities, or set successfulWhen to STORED"}},
		{"hook that refuses", func(t *testing.T, f *faulty) {
			hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Error(w, r.URL.String(), http.StatusForbidden) // it repeats its secret address
			}))
			t.Cleanup(hook.Close)
			f.executors.Hooks = engine.Hooks{"pause": {URL: hook.URL + "/?key=" + executortest.Canary}}
			f.instance.Hooks = &events.InstanceHooks{Pre: "pause"}
		}, again(events.ProviderRejected), events.Failure{Category: events.ByUser, Retryable: true,
			Message: `the hook "pause", which has to succeed before the backup, failed: see the executor's log for what it said`}},
		{"nothing moves", func(t *testing.T, f *faulty) {
			hook := f.file(t, "hook", "#!/bin/sh\nexec sleep 1000\n", 0o700)
			f.executors.Hooks, f.executors.StallAfter = engine.Hooks{"pause": {Exec: []string{hook}}}, 2*time.Second
			f.instance.Hooks = &events.InstanceHooks{Pre: "pause"}
		}, again(events.DeadlineExceeded), events.Failure{Category: events.BySystem, Retryable: true,
			Message: "no progress for 2s: it was stopped; see whether the server, a lock there or the storage holds it up"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			c.spoil(t, f)
			p, id := f.run(t, 2)
			p.Await("shop", id, events.Failed, events.Succeeded, events.Cancelled)
			steps, last := f.told(t, p, id)
			if diff := cmp.Diff(c.steps, steps); diff != "" {
				t.Error(diff)
			}
			c.want.Code = events.Code(c.steps[len(c.steps)-1][len("failed "):])
			if diff := cmp.Diff(&c.want, last.Error); diff != "" {
				t.Error(diff)
			}
			if last.State != events.State("FAILED") || last.EndTime.IsZero() || lifecycle.Good(last) {
				t.Errorf("record %+v", last)
			}
			for path := range f.stored(t) {
				if f.good[path] == "" {
					t.Errorf("left behind: %s", path)
				}
			}
		})
	}
}
