package sqlite

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// tellPeak does a job in a process of its own to its end, and writes the most memory that it ever had.
func tellPeak(e *running, j executor.Job) {
	ctx := context.Background()
	ref, err := e.Start(ctx, j)
	if err != nil {
		panic(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	for range tick.C {
		p, err := e.Poll(ctx, ref)
		if err != nil || p.Err != nil {
			panic(fmt.Sprint(err, p.Err))
		}
		if p.Done {
			if p.Outcome.Proof != events.ProofRestored {
				panic("not proven: " + p.Outcome.Proof)
			}
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

func TestBackup_LargeValuesAreProvenInLittleMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := w.file("source.db")
	db := connect(t, source)
	run(t, db, "CREATE TABLE large (id INTEGER PRIMARY KEY, body BLOB, words TEXT)")
	run(t, db, "CREATE TABLE sized (name TEXT PRIMARY KEY, body BLOB, size GENERATED ALWAYS AS (octet_length(body)) VIRTUAL)")
	run(t, db, "INSERT INTO large VALUES (1, randomblob(64 << 20), NULL)")
	run(t, db, "INSERT INTO large VALUES (2, zeroblob(200 << 20), replace(hex(zeroblob(32 << 20)), '00', 'ä'))")
	run(t, db, "INSERT INTO sized VALUES ('a', zeroblob(200 << 20))")
	run(t, db, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO large SELECT i + 2, randomblob(1000000), 'x' FROM n`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	wantLittleMemory(t, w, source)
}

// wantLittleMemory backs a database up in a process of its own, and proves it by restore.
func wantLittleMemory(t *testing.T, w world, source string) {
	t.Helper()
	doc, err := json.Marshal(lostJob{Settings: w.settings(), Job: restoredJob(source), ToTheEnd: true})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), childEnv+"="+string(doc)), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	var kilobytes int
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscan(line, &kilobytes)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("peak of the executor: %d KiB", kilobytes)
	if kilobytes > 128<<10 {
		t.Errorf("the executor had %d KiB", kilobytes)
	}
}
