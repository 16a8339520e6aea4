package spanner_test

import (
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"github.com/backupbus/backupbus/events"
)

// atOnce runs f for each number at once.
func atOnce(n int, f func(int)) {
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	all.Wait()
}

// requestedEvents is how many backups the log knows.
func (w world) requestedEvents() (n int) {
	for _, e := range w.Events("acme") {
		if e.Entity() == events.Backups && e.Step() == events.Requested {
			n++
		}
	}
	return n
}

func TestRace_OneOfFiftyForADatabase(t *testing.T) { // case 11
	t.Parallel()
	w := setup(t)
	answers := make([]codes.Code, 50)
	atOnce(50, func(i int) {
		_, err := w.admin.CreateBackup(w.ctx(), request(parent, fmt.Sprintf("b%d", i), "db"))
		answers[i] = status.Code(err)
	})
	count := map[codes.Code]int{}
	for _, c := range answers {
		count[c]++
	}
	if count[codes.OK] != 1 || count[codes.FailedPrecondition] != 49 {
		t.Errorf("answers %v", count)
	}
	if n := w.requestedEvents(); n != 1 {
		t.Errorf("%d backups in the log", n)
	}
}

func TestRace_OneOfFiftyOfAName(t *testing.T) {
	t.Parallel()
	w := setup(t)
	answers := make([]codes.Code, 50)
	atOnce(50, func(i int) {
		_, err := w.admin.CreateBackup(w.ctx(), request(parent, "same", fmt.Sprintf("db%d", i)))
		answers[i] = status.Code(err)
	})
	count := map[codes.Code]int{}
	for _, c := range answers {
		count[c]++
	}
	if count[codes.OK] != 1 || count[codes.AlreadyExists] != 49 {
		t.Errorf("answers %v", count)
	}
}

func TestRace_FiftyDatabasesAtOnce(t *testing.T) { // case 10
	t.Parallel()
	w := setup(t)
	w.Hand.Auto()
	atOnce(50, func(i int) {
		if _, err := w.admin.CreateBackup(w.ctx(), request(parent, fmt.Sprintf("b%d", i), fmt.Sprintf("db%d", i))); err != nil {
			t.Errorf("database %d: %v", i, err)
		}
	})
	for i := range 50 {
		w.Await("acme", w.id(fmt.Sprintf("b%d", i)), events.Succeeded)
	}
	if ids := w.list(&databasepb.ListBackupsRequest{Filter: "state:READY"}); len(ids) != 50 {
		t.Errorf("%d are ready", len(ids))
	}
}

// A name whose backup is cancelled is free for whoever is first, however often that happens.
func TestRace_CancelAndCreateTheSameId(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for range 5 {
		op := w.create(parent, "again", "db")
		atOnce(3, func(int) {
			if err := w.cancel(op.GetName()); err != nil {
				t.Error(err)
			}
		})
	}
	if n := w.requestedEvents(); n != 5 {
		t.Errorf("%d backups in the log", n)
	}
}

// At most four schedules of a database (spanner.md 4.10), also of ten that are made at once.
func TestRace_TenSchedulesAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	answers := make([]codes.Code, 10)
	atOnce(10, func(i int) {
		_, err := w.plan(planned, fmt.Sprintf("s%d", i), daily())
		answers[i] = status.Code(err)
	})
	count := map[codes.Code]int{}
	for _, c := range answers {
		count[c]++
	}
	if count[codes.OK] != 4 || count[codes.ResourceExhausted] != 6 {
		t.Errorf("answers %v", count)
	}
}
