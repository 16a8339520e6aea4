package mysql_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// tellPeak waits for the end of work in a process of its own, and writes the most memory that it ever had.
func tellPeak(x *engine.Executor, ref executor.Ref) {
	tick := time.NewTicker(10 * time.Millisecond)
	for range tick.C {
		p, err := x.Poll(context.Background(), ref)
		if err != nil || p.Err != nil {
			panic(fmt.Sprint(err, p.Err))
		}
		if p.Done {
			break
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, peak, _ := strings.Cut(string(status), "\nVmHWM:")
	peak, _, _ = strings.Cut(peak, "kB")
	fmt.Println(strings.TrimSpace(peak))
}

// ownServer is a server of this test alone, with a database that has no tables yet.
func ownServer(t *testing.T, options ...string) (w *world, source string, db *sql.DB) {
	t.Helper()
	srv := mysqltest.Start(t, mysqltest.MariaDB, options...)
	if err := createBackuper(t.Context(), srv); err != nil {
		t.Fatal(err)
	}
	source = database(t, srv)
	db, err := srv.Open("root", mysqltest.RootPassword, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return newWorld(t, srv), source, db
}

func TestBackup_LargeRowsPassInLittleMemory(t *testing.T) {
	t.Parallel()
	w, source, db := ownServer(t, "--max-allowed-packet=1G")
	run(t, db, "CREATE TABLE large (id INT PRIMARY KEY, body LONGBLOB, words LONGTEXT)")
	run(t, db, "INSERT INTO large VALUES (1, REPEAT(RANDOM_BYTES(1024), 64 * 1024), NULL)")
	run(t, db, "INSERT INTO large VALUES (2, NULL, REPEAT('it''s; (\\\\) ', 2 * 1024 * 1024))")
	run(t, db, "INSERT INTO large SELECT seq + 2, REPEAT(RANDOM_BYTES(1024), 8 * 1024), '' FROM seq_1_to_18")
	if n := query(t, db, "SELECT SUM(LENGTH(body)) + MAX(LENGTH(words)) > 200 * 1024 * 1024 FROM large")[0][0]; n != "1" {
		t.Fatal("the rows are not large")
	}
	wantLittleMemory(t, w, source)
}

// wantLittleMemory backs a database up in a process of its own, and proves it by restore.
func wantLittleMemory(t *testing.T, w *world, source string) {
	t.Helper()
	j := w.job(source)
	j.Proof = events.ProofRestored
	loseWhen(t, w, lostJob{Job: j, ToTheEnd: true}, func(out io.Reader) {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var kilobytes int
		if _, err := fmt.Sscan(line, &kilobytes); err != nil {
			t.Fatal(err)
		}
		t.Logf("peak of the executor: %d KiB", kilobytes)
		if kilobytes > 128<<10 { // what one of the rows has as text
			t.Errorf("the executor had %d KiB", kilobytes)
		}
	})
}
