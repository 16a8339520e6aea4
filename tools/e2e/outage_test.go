package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Every service is gone when a slot is due and when its window ends. After the next start it is overdue, since the
// end of its window and not since somebody looked; the slot after it is taken as if nothing had been.
func TestOutage_AcrossASlotIsOverdueAtItsRightTime(t *testing.T) {
	t.Parallel()
	p := start(t)
	file := newDatabase(t, 10)
	p.apply(map[string]string{"db": file})
	const window = 2 * time.Second
	out, err := http.Post("http://"+p.addr+"/api/v1/projects/shop/schedules", "application/json",
		strings.NewReader(`{"instance":"db","name":"often","config":{"everySeconds":60,"windowSeconds":2,"missed":"SKIP"}}`))
	if err != nil || out.StatusCode != http.StatusOK && out.StatusCode != http.StatusCreated {
		t.Fatal(out, err)
	}
	_ = out.Body.Close()
	type slot struct {
		BackupID, State string
		DueTime         time.Time
		Overdue         *struct {
			SinceTime          time.Time
			Requested, Started bool
		}
	}
	slots := func() map[time.Time]slot {
		list, _ := get[struct{ Backups []slot }](p, "/api/v1/projects/shop/backups?instance=db")
		byDue := map[time.Time]slot{}
		for _, s := range list.Backups {
			byDue[s.DueTime.UTC()] = s
		}
		return byDue
	}
	due := time.Now().Add(5 * time.Second).Truncate(time.Minute).Add(time.Minute).UTC()
	<-time.After(time.Until(due.Add(-3 * time.Second))) // the slot before, if there was one, has been taken
	p.kill()
	execute(t, file, "DELETE FROM thing WHERE id = 1") // else the next slot is skipped if the one before was taken
	<-time.After(time.Until(due.Add(2 * window)))      // the outage itself
	p.up()
	eventually(t, "the slot is overdue", func() bool { return slots()[due].State == "OVERDUE" })
	missed := slots()[due]
	if o := missed.Overdue; o == nil || !o.SinceTime.Equal(due.Add(window)) || o.Requested || o.Started {
		t.Errorf("%+v", o)
	}
	eventually(t, "the next slot is taken", func() bool { return slots()[due.Add(time.Minute)].State == "SUCCESSFUL" })
	if again := slots()[due]; again.State != "OVERDUE" {
		t.Errorf("the missed slot was made up for, against missed: SKIP: %+v", again)
	}
	out2 := p.must("instance", "health", "db")
	if !strings.Contains(out2, "ago") || !strings.Contains(out2, "CHECKED") {
		t.Errorf("%s", out2)
	}
	left, err := os.ReadDir(filepath.Join(p.data, "scratch"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in scratch: %v, %v", left, err)
	}
}
