package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

// measured takes a backup and writes the most memory that this process had, in bytes.
func measured(ctx context.Context, x *running, j executor.Job) error {
	ref, err := x.Start(ctx, j)
	if err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		p, err := x.Poll(ctx, ref)
		if err != nil || p.Err != nil {
			return errors.Join(err, p.Err)
		}
		if p.Done {
			break
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	var peak int64
	_, after, _ := bytes.Cut(status, []byte("VmHWM:"))
	if _, err := fmt.Sscanf(string(after), "%d kB", &peak); err != nil {
		return err
	}
	fmt.Println(peak << 10)
	return nil
}

// TestBackup_OfLargeValuesNeedsLittleMemory: values of 64 MB, which are 128 MB in a dump.
func TestBackup_OfLargeValuesNeedsLittleMemory(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE TABLE large (id int, v bytea)`, `ALTER TABLE large ALTER v SET STORAGE EXTERNAL`,
		`INSERT INTO large SELECT g, decode(repeat(md5(g::text), 4 << 20), 'hex') FROM generate_series(1, 4) g`)
	if content := measuredContent(t, w, s, source); content.Tables["public.large"] != 4 || content.Checksums["public.large"] == "" {
		t.Errorf("content %+v", content)
	}
}

// measuredContent is what a backup finds in a database, and proves by restore, in a process with little memory.
func measuredContent(t *testing.T, w world, s *postgrestest.Server, source string) archive.Content {
	t.Helper()
	j := uniqueJob(config(s, source))
	j.Proof = events.ProofRestored
	cmd, out := child(t, work{Settings: w.settings(), Job: j, Measured: true})
	var peak int64
	if _, err := fmt.Sscan(said(t, out), &peak); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("at most %d MiB", peak>>20)
	if peak > 128<<20 {
		t.Errorf("the process had %d MiB", peak>>20)
	}
	c, err := w.executor(t).store.Of(j)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.ReadManifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m.Objects[1].Content
}
