package mysql_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// referring makes a copy that loads only where another database is, and takes that away.
func referring(t *testing.T, kind mysqltest.Kind) (w *world, try func(target string, overwrite bool) error, ids func() []string) {
	t.Helper()
	w = newWorld(t, sharedServer(t, kind))
	source, other := database(t, w.srv), database(t, w.srv)
	fill(t, w.srv, other, 1)
	fill(t, w.srv, source, 5)
	run(t, w.srv.Root(), "CREATE VIEW "+source+".v AS SELECT id FROM "+other+".t")
	x := w.executor(t)
	o := executortest.Take(t, x, w.job(source))
	run(t, w.srv.Root(), "DROP DATABASE "+other)
	var tried []string
	return w, func(target string, overwrite bool) error {
		return w.tryRestore(t, x, o, w.config(target), func(j *executor.RestoreJob) {
			j.Overwrite = overwrite
			tried = append(tried, j.RestoreID)
		})
	}, func() []string { return tried }
}

func TestRestore_ThatFailsLeavesTheTargetAsItWas(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w, try, ids := referring(t, kind)
		absent, empty, full := database(t, w.srv), database(t, w.srv), database(t, w.srv)
		run(t, w.srv.Root(), "DROP DATABASE "+absent)
		run(t, w.srv.Root(), "ALTER DATABASE "+empty+" CHARACTER SET latin2 COLLATE latin2_czech_cs")
		fill(t, w.srv, full, 3)
		before := fmt.Sprint(shape(t, w, absent), shape(t, w, empty), shape(t, w, full))

		executortest.WantCode(t, try(absent, false), events.ProviderRejected)
		executortest.WantCode(t, try(empty, false), events.ProviderRejected)
		executortest.WantCode(t, try(full, true), events.ProviderRejected) // tried beside the target first
		if after := fmt.Sprint(shape(t, w, absent), shape(t, w, empty), shape(t, w, full)); after != before {
			t.Errorf("after %.3000s\nbefore %.3000s", after, before)
		}
		for _, id := range ids() {
			if left := query(t, w.srv.Root(), "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", "_backupbus_restore_"+id); len(left) > 0 {
				t.Errorf("the trial is left: %q", left)
			}
		}
	})
}

func TestRestore_SystemDatabaseIsRejected(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		_, try, _ := referring(t, kind)
		executortest.WantCode(t, try("mysql", true), events.ProviderRejected)
		executortest.WantCode(t, try("SYS", true), events.ProviderRejected)
	})
}

func TestRestore_TargetWithOnlyARoutineHoldsData(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w, try, _ := referring(t, kind)
		target := database(t, w.srv)
		run(t, w.srv.Root(), "CREATE PROCEDURE "+target+".p() SELECT 1")
		executortest.WantCode(t, try(target, false), events.AlreadyExists)
	})
}

func TestRecoverRestore_DropsWhatIsOursAndNothingElse(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		ours, wasEmpty, other := database(t, w.srv), database(t, w.srv), database(t, w.srv)
		id := "rs_" + strings.Repeat("b", 26)
		for _, name := range []string{ours, wasEmpty} {
			fill(t, w.srv, name, 3)
			comment := ""
			if name == wasEmpty {
				comment = "latin2 latin2_czech_cs"
			}
			run(t, w.srv.Root(), "CREATE TABLE "+name+"._backupbus_restore_"+id+" (a INT) COMMENT='"+comment+"'")
		}
		fill(t, w.srv, other, 3)
		run(t, w.srv.Root(), "CREATE TABLE "+other+"._backupbus_restore_rs_"+strings.Repeat("c", 26)+" (a INT)")
		before := content(t, w.srv, other)

		e, err := w.engine()
		if err != nil {
			t.Fatal(err)
		}
		j := executor.RestoreJob{RestoreID: id, Target: w.config(ours)}
		for range 2 { // the second finds nothing
			if err := e.RecoverRestore(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		}
		if content(t, w.srv, other) != before {
			t.Error("another restore's database was touched")
		}
		if s := shape(t, w, ours); len(s) != 0 {
			t.Errorf("the half-filled database: %q", s)
		}
		if s := shape(t, w, wasEmpty); len(s) != 1 || s[0] != `["latin2" "latin2_czech_cs"]` {
			t.Errorf("the one that was empty: %q", s)
		}
	})
}

func TestRestore_WithoutPrivilegeIsPermissionDenied(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w := newWorld(t, sharedServer(t, kind))
		source, target := database(t, w.srv), database(t, w.srv)
		fill(t, w.srv, source, 1)
		x := w.executor(t)
		o := executortest.Take(t, x, w.job(source))
		c := w.config(target)
		c.User = account(t, w.srv, backupGrants)
		err := w.tryRestore(t, x, o, c, nil)
		executortest.WantCode(t, err, events.PermissionDenied)
		var f *events.Failure
		if errors.As(err, &f); strings.Contains(f.Message, c.User) {
			t.Errorf("message %q", f.Message)
		}
	})
}
