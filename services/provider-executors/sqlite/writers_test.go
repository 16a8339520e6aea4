package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// TestBackup_ConsistentWhileWritersCommit: a transfer between two tables keeps their sum, and a log
// table has as many rows as the counter says. Another process transfers without end and checkpoints; the
// copy is held until some of its transactions have been committed in the middle.
func TestBackup_ConsistentWhileWritersCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	makeAccounts(t, source)
	writer := child(t, "write "+source)
	t.Cleanup(func() { _ = writer.Process.Kill(); _ = writer.Wait() })

	own := connect(t, source)
	e := w.executor(t)
	var held int64 // bytes at which the copy was held last
	e.reported = func(ctx context.Context, _ executor.Job, p executor.Progress) {
		if p.Phase != events.Copying || p.BytesDone == p.BytesTotal || p.BytesDone-held < p.BytesTotal/8 {
			return
		}
		held = p.BytesDone
		if err := awaitCommits(ctx, own, 3); err != nil {
			t.Errorf("writer beside the copy: %v", err)
		}
	}
	restored := w.executor(t)
	var last int64
	for round := 1; round <= 5; round++ {
		j := jobOf(source)
		j.Attempt = round
		held = 0
		before := counter(t, own)
		o := executortest.Take(t, e, j)
		target := w.file(fmt.Sprintf("restored-%d.db", round))
		executortest.Restore(t, restored, restoreJob(o, target))
		n := wantBalanced(t, target)
		if after := counter(t, own); n < before || n < last || after <= n {
			t.Errorf("round %d: copy at %d, source from %d to %d: no transaction fell into it", round, n, before, after)
		}
		last = n
	}
}

// TestBackup_RestoredWhileWritersCommit: rows are read after the pages, in the transaction of both, while the
// writer goes on in a WAL that is not empty.
func TestBackup_RestoredWhileWritersCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	makeAccounts(t, source)
	writer := child(t, "write "+source)
	t.Cleanup(func() { _ = writer.Process.Kill(); _ = writer.Wait() })
	own := connect(t, source)
	e := w.executor(t)
	var longest, held int64 // bytes of the WAL, and of the copy when it was held last
	e.reported = func(ctx context.Context, _ executor.Job, p executor.Progress) {
		if p.Phase != events.Copying || p.BytesDone-held < p.BytesTotal/8 {
			return
		}
		held = p.BytesDone
		if err := awaitCommits(ctx, own, 3); err != nil {
			t.Errorf("writer beside the copy: %v", err)
		}
		if info, err := os.Stat(source + "-wal"); err == nil {
			longest = max(longest, info.Size())
		}
	}
	for round := 1; round <= 2; round++ {
		j := restoredJob(source)
		j.Attempt = round
		held = 0
		before := counter(t, own)
		o := executortest.Take(t, e, j)
		if after := counter(t, own); after <= before || longest == 0 {
			t.Errorf("round %d: from %d to %d, a WAL of %d bytes: no transaction fell into it", round, before, after, longest)
		}
		found, err := e.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
		_, m := copyOf(t, e, o)
		logged := m.Objects[0].Tables["log"]
		wantLoaded(t, found.Evidence, err, 5, 10_000+logged+1+4, true) // accounts, log, counter, schema
	}
}

func makeAccounts(t *testing.T, file string) {
	t.Helper()
	db := connect(t, file, "journal_mode(wal)")
	run(t, db, "CREATE TABLE a (id INTEGER PRIMARY KEY, balance INTEGER, pad BLOB)")
	run(t, db, "CREATE TABLE b (id INTEGER PRIMARY KEY, balance INTEGER, pad BLOB)")
	run(t, db, "CREATE TABLE log (n INTEGER PRIMARY KEY, pad BLOB)")
	run(t, db, "CREATE TABLE counter (n INTEGER)")
	run(t, db, "INSERT INTO counter VALUES (0)")
	for _, table := range []string{"a", "b"} {
		run(t, db, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
			INSERT INTO `+table+` SELECT i, 100, randomblob(1000) FROM n`)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// transfer touches pages all over the file in one transaction.
func transfer(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, `BEGIN IMMEDIATE;
		UPDATE a SET balance = balance - 1, pad = randomblob(1000)
			WHERE id IN (SELECT n % 500 + 500 * value FROM counter, json_each('[0,1,2,3,4,5,6,7,8,9]'));
		UPDATE counter SET n = n + 1;
		INSERT INTO log SELECT n, randomblob(500) FROM counter;
		UPDATE b SET balance = balance + 1
			WHERE id IN (SELECT (n - 1) % 500 + 500 * value FROM counter, json_each('[0,1,2,3,4,5,6,7,8,9]'));
		COMMIT`)
	return err
}

func writeForEver(file string) {
	db, err := sql.Open("sqlite", uri(file, 20*time.Second, url.Values{"mode": {"rw"}}, "wal_autocheckpoint(50)", "synchronous(normal)"))
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(1)
	for n := 0; ; n++ {
		if err := transfer(context.Background(), db); err != nil {
			panic(err)
		}
		if n == 0 {
			os.Stdout.WriteString("writing\n")
		}
		if n%20 == 0 {
			// Without waiting: a checkpoint that waits for the copy would hold the lock of the writers.
			if _, err := db.Exec("PRAGMA busy_timeout(0); PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout(20000)"); err != nil {
				panic(err)
			}
		}
	}
}

// awaitCommits returns when n transactions more are committed.
func awaitCommits(ctx context.Context, db *sql.DB, n int64) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var goal int64
	for {
		var now int64
		if err := db.QueryRowContext(ctx, "SELECT n FROM counter").Scan(&now); err != nil {
			return err
		}
		if goal == 0 {
			goal = now + n
		}
		if now >= goal {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func counter(t *testing.T, db *sql.DB) int64 {
	t.Helper()
	var n int64
	if err := db.QueryRowContext(t.Context(), "SELECT n FROM counter").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func wantBalanced(t *testing.T, file string) int64 {
	t.Helper()
	db := connect(t, file)
	defer db.Close()
	var sum, logged, n int64
	err := db.QueryRowContext(t.Context(), `SELECT (SELECT sum(balance) FROM a) + (SELECT sum(balance) FROM b),
		(SELECT count(*) FROM log), (SELECT n FROM counter)`).Scan(&sum, &logged, &n)
	if err != nil {
		t.Fatal(err)
	}
	if sum != 1_000_000 || logged != n {
		t.Errorf("torn copy: sum %d, %d log rows, counter %d", sum, logged, n)
	}
	return n
}
