package postgres

import (
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// TestBackup_QueryThatRunsLongCountsAsASignOfLife: while the rows are read no byte passes, and without signs of life
// the attempt would be stopped as one that stalls. Here a lock makes the query long.
func TestBackup_QueryThatRunsLongCountsAsASignOfLife(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, people)
	holder := s.DB(t, source)
	if _, err := holder.Exec(t.Context(), `BEGIN; LOCK TABLE people`); err != nil {
		t.Fatal(err)
	}
	x, j := w.executor(t), uniqueJob(config(s, source))
	j.Proof = events.ProofRestored
	ref, err := x.Start(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	poll := func() executor.Progress {
		p, err := x.Poll(t.Context(), ref)
		if err != nil || p.Done {
			t.Fatalf("%+v, %v", p, err)
		}
		return p
	}
	eventually(t, "the rows are asked for", func() bool {
		return value[int](t, s, source, `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	})
	eventually(t, "the first sign of life, with what was read before the wait", func() bool { return poll().Beats > 0 })
	before := poll()
	eventually(t, "two signs of life without a byte", func() bool {
		now := poll()
		if now.BytesDone != before.BytesDone || now.Phase != before.Phase {
			t.Fatalf("%+v became %+v", before, now)
		}
		return now.Beats >= before.Beats+2
	})
	if _, err := holder.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if p := executortest.Finish(t, x, ref); p.Err != nil || p.Outcome.Proof != events.ProofRestored {
		t.Errorf("%+v", p)
	}
}
