package mysql_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// eventually waits for a condition of the server or the system that nothing tells us of.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited for %s", what)
		}
	}
}

// account makes an account of its own for a test, whose sessions can be told from all others.
func account(t testing.TB, srv *mysqltest.Server, privileges ...string) string {
	t.Helper()
	name := fmt.Sprintf("u_%d_%d", os.Getpid(), databases.Add(1))
	run(t, srv.Root(), "CREATE USER ?@'%' IDENTIFIED BY ?", name, canary)
	t.Cleanup(func() { _, _ = srv.Root().ExecContext(context.Background(), "DROP USER ?@'%'", name) })
	for _, p := range privileges {
		run(t, srv.Root(), "GRANT "+p+" TO "+name+"@'%'")
	}
	return name
}

// sessions are those of a user: id, command, state, statement.
func sessions(t testing.TB, srv *mysqltest.Server, user string) (all [][]string) {
	t.Helper()
	for _, s := range query(t, srv.Root(), "SHOW FULL PROCESSLIST") { // id, user, host, database, command, time, state, statement
		if s[1] == user {
			all = append(all, []string{s[0], s[4], s[6], s[7]})
		}
	}
	return all
}

// children are the processes that were started for a database: its name is in their arguments.
func children(t testing.TB, name string) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		line, err := os.ReadFile(file) // one that has ended meanwhile is none
		if err == nil && bytes.HasSuffix(line, []byte("\x00"+name+"\x00")) {
			pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// during is a report that runs something once, in the middle of the copy.
func during(do func()) func(context.Context, executor.Job, executor.Progress) {
	var once sync.Once
	return func(_ context.Context, _ executor.Job, p executor.Progress) {
		if p.Phase == events.Copying && p.BytesDone > 0 {
			once.Do(do)
		}
	}
}

// failed takes a backup that has to fail with code, and sees that it leaves nothing: no object, no process,
// no session.
func (w *world) failed(t testing.TB, j executor.Job, code events.Code, middle func()) *events.Failure {
	t.Helper()
	x, done, err := w.open(t.Context(), during(middle))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	ref, err := x.Start(t.Context(), j)
	if err == nil {
		err = executortest.Finish(t, x, ref).Err
	}
	return w.wantFailure(t, j, err, code)
}

func (w *world) wantFailure(t testing.TB, j executor.Job, err error, code events.Code) *events.Failure {
	t.Helper()
	executortest.WantCode(t, err, code)
	var f *events.Failure
	errors.As(err, &f)
	for _, secret := range []string{canary, w.srv.Socket, filepath.Dir(w.store), "/tmp/", "SELECT *"} {
		if strings.Contains(f.Message, secret) {
			t.Errorf("the message tells %q: %s", secret, f.Message)
		}
	}
	w.wantNothingLeft(t)
	for _, db := range j.Config.Databases {
		if left := children(t, db); len(left) != 0 {
			t.Errorf("processes %v are left", left)
		}
	}
	return f
}

func (w *world) wantNoSession(t testing.TB, user string) {
	t.Helper()
	// The engine closes its own login without waiting for the server's part of it.
	eventually(t, "the end of the sessions of "+user, func() bool { return len(sessions(t, w.srv, user)) == 0 })
}

// backupGrants are those of the package's documentation.
const backupGrants = "SELECT, SHOW VIEW, TRIGGER, EVENT ON *.*"

// own is a job on a database of its own by an account of its own.
func (w *world) own(t testing.TB, rows int) (j executor.Job, name, user string) {
	t.Helper()
	name, user = database(t, w.srv), account(t, w.srv, backupGrants)
	if rows > 0 {
		fill(t, w.srv, name, rows)
	}
	j = w.job(name)
	j.Config.User = user
	return j, name, user
}
