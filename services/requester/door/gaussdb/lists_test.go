package gaussdb_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/door/gaussdb"
)

func (w *world) refused(method, path, body string, status int, code string) refusal {
	w.t.Helper()
	rec := w.do(method, path, body, nil)
	return asRefusal(w.t.(*testing.T), method+" "+path, rec.Code, rec.Header(), rec.Body.Bytes(), status, code)
}

func TestList_Pages(t *testing.T) { // cases 21, 22; rows 25, 26, 30
	t.Parallel()
	w := newWorld(t, settings{}, nil)
	w.instance(project, "orders")
	for n := range 150 {
		w.backup(project, "orders", n, nil)
	}
	for query, want := range map[string]int{"": 100, "limit=100": 100, "limit=1": 1, "offset=100": 50, "offset=149": 1, "offset=150": 0, "offset=999999999999999999": 0,
		"limit=&offset=": 100, "limit=007": 7, "limit=5&limit=x": 5, "unknown=1": 100} {
		if l := get[listed](w, path("backups")+"?"+query); len(l.Backups) != want || l.TotalCount != 150 {
			t.Errorf("%s: %d of %d", query, len(l.Backups), l.TotalCount)
		}
	}
	if raw := w.do(http.MethodGet, path("backups")+"?offset=150", "", nil).Body.String(); strings.TrimSpace(raw) != `{"backups":[],"total_count":150}` {
		t.Errorf("past the end: %s", raw)
	}
	for _, limit := range []string{"0", "101", "-1", "x", "abc", "1.5", "%2B5", "1e1", "99999999999999999999"} {
		w.refused(http.MethodGet, path("backups")+"?limit="+limit, "", 400, "DBS.280439")
	}
	for _, query := range []string{"offset=-1", "offset=x", "offset=1.5", "offset=99999999999999999999", "backup_type=AUTO", "backup_type=full", "name=%FF", "name=%zz"} {
		w.refused(http.MethodGet, path("backups")+"?"+query, "", 400, "DBS.280001")
	}
}

func TestList_Order(t *testing.T) { // 4.2: begin_time descending, then id ascending
	t.Parallel()
	w := newWorld(t, settings{}, nil)
	for n := range 40 {
		w.backup(project, "orders", n, func(b *events.Backup) {
			b.EnqueuedTime = events.At(w.now.Add(time.Duration(n/8)*time.Second + time.Duration(n*131%1000)*time.Millisecond))
		})
	}
	var all []shown
	for offset := 0; ; offset += 7 {
		l := get[listed](w, fmt.Sprintf("%s?limit=7&offset=%d", path("backups"), offset))
		if len(l.Backups) == 0 {
			break
		}
		all = append(all, l.Backups...)
	}
	if len(all) != 40 {
		t.Fatalf("%d in all pages", len(all))
	}
	for i, b := range all[1:] {
		if a := all[i]; a.BeginTime < b.BeginTime || a.BeginTime == b.BeginTime && a.ID >= b.ID {
			t.Errorf("%s %s before %s %s", a.BeginTime, a.ID, b.BeginTime, b.ID)
		}
	}
}

func TestList_Filters(t *testing.T) { // cases 24, 25, 26; rows 27, 28, 29
	t.Parallel()
	w := newWorld(t, settings{}, nil)
	orders, billing := w.instance(project, "orders"), w.instance(project, "billing")
	at := time.Date(2026, 1, 2, 2, 41, 14, 350e6, time.UTC)
	one := w.backup(project, "orders", 1, func(b *events.Backup) { b.EnqueuedTime, b.Name = events.At(at), "nightly" })
	two := w.backup(project, "billing", 2, func(b *events.Backup) {
		b.EnqueuedTime, b.Name, b.Trigger = events.At(at.Add(time.Minute)), "nightly", events.Scheduled
	})
	w.backup(project, "billing", 3, func(b *events.Backup) { b.EnqueuedTime, b.Name = events.At(at.Add(-time.Hour)), "Nightly" })
	for query, want := range map[string]int{
		"begin_time=2026-01-02T10:41:14%2B0800&end_time=2026-01-02T10:41:15%2B0800": 1,
		"begin_time=2026-01-02T10:41:14+0800&end_time=2026-01-02T10:41:15+0800":     1, // a bare + becomes a space
		"begin_time=2026-01-02T10:41:14%2B08:00&end_time=2026-01-02T10:41:15+08:00": 1,
		"begin_time=2026-01-02T02:41:14Z&end_time=2026-01-02T02:41:15Z":             1,
		"begin_time=2026-01-01T21:41:14-0500&end_time=2026-01-01T21:41:15-05:00":    1,
		"end_time=2026-01-02T02:41:14Z":                                             2, // both ends are inclusive, one alone is allowed
		"begin_time=2026-01-02T02:41:15Z":                                           1,
		"begin_time=0001-01-01T00:00:00Z&end_time=9999-12-31T23:59:59Z":             3,
		"begin_time=0001-01-01T00:00:00Z":                                           3,
		"end_time=0001-01-01T00:00:00Z":                                             0, // the zero time is a bound
		"begin_time=0001-01-01T00:00:00Z&end_time=0002-01-01T00:00:00Z":             0,
		"begin_time=&end_time=&name=&instance_id=&backup_id=":                       3,
		"name=nightly":                                                    2,
		"name=nightly&backup_type=auto":                                   1,
		"name=nightly&instance_id=" + orders.IDs.GaussDB:                  1,
		"name=nightly&instance_name=billing&backup_type=auto":             1,
		"name=nightly&backup_type=manual&begin_time=2026-01-02T02:41:15Z": 0,
		"name=night":                                                                     0,
		"instance_name=billing":                                                          2,
		"instance_name=Billing":                                                          0,
		"instance_id=" + billing.IDs.GaussDB:                                             2,
		"instance_id=" + strings.ToUpper(billing.IDs.GaussDB):                            0,
		"instance_id=" + billing.IDs.GaussDB + "&instance_name=orders":                   0,
		"instance_id=" + billing.IDs.GaussDB + "&backup_id=" + two.IDs.GaussDB:           1,
		"instance_id=" + billing.IDs.GaussDB + "&backup_id=" + one.IDs.GaussDB:           0, // case 26
		"backup_id=" + one.IDs.GaussDB + "&backup_type=auto":                             0,
		"backup_id=" + one.IDs.GaussDB + "&name=nightly&begin_time=2026-01-02T02:41:14Z": 1,
		"backup_id=c0c9f155c7b7423a9d30f0175998b63bbr01":                                 0,
		"backup_id=abc":     0,
		"instance_id=abc":   0,
		"name=none":         0,
		"instance_name=%0A": 0,
	} {
		l := get[listed](w, path("backups")+"?"+query)
		if len(l.Backups) != want || l.TotalCount != want {
			t.Errorf("%s: %d of %d, want %d", query, len(l.Backups), l.TotalCount, want)
		}
	}
	if l := get[listed](w, path("backups")+"?offset=1&backup_id="+one.IDs.GaussDB); len(l.Backups) != 0 || l.TotalCount != 1 {
		t.Errorf("past the one: %+v", l)
	}
	for _, q := range []string{"begin_time=x", "end_time=2026-01-02", "begin_time=2026-01-02T10:41:14", "begin_time=2026-13-02T10:41:14Z", "begin_time=2026-01-02T10:41:14.5Z",
		"begin_time=0001-01-01T00:00:00Z&end_time=0001-01-01T00:00:00Z", "begin_time=2026-01-02T10:41:15%2B0800&end_time=2026-01-02T10:41:14%2B0800", "begin_time=2026-01-02T10:41:14Z&end_time=2026-01-02T10:41:14Z"} {
		w.refused(http.MethodGet, path("backups")+"?"+q, "", 400, "DBS.280216")
	}
}

func TestList_InstancesThatAreGoneKeepTheirBackups(t *testing.T) { // 4.2, scope
	t.Parallel()
	w := newWorld(t, settings{}, nil)
	i := w.instance(project, "orders")
	w.backup(project, "orders", 1, nil)
	i.Generation = 2
	w.save(events.Instances, i.InstanceID, project, lifecycle.Removed, i)
	if l := get[listed](w, path("backups")+"?instance_id="+i.IDs.GaussDB); l.TotalCount != 1 || l.Backups[0].InstanceID != i.IDs.GaussDB {
		t.Errorf("%+v", l)
	}
}

var zoned = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}$`)

func TestList_ShowsWhatBecameOfEach(t *testing.T) { // section 7; cases 12, 14, 15, 27
	t.Parallel()
	for _, level1 := range []bool{false, true} {
		w := newWorld(t, settings{Config: gaussdb.Config{Level1: level1}}, nil)
		size := int64(2_938_000_000)
		for n, c := range []struct {
			change  func(*events.Backup)
			status  string
			level   string
			minutes int
			size    string
			ended   bool
		}{
			{func(b *events.Backup) {
				b.SizeBytes, b.EndTime = &size, events.At(b.EnqueuedTime.Add(3*time.Minute+5*time.Second))
			}, "COMPLETED", "2", 4, "2802", true},
			{func(b *events.Backup) { b.BackupKind = "SNAPSHOT" }, "COMPLETED", "1", 1, "1", true},
			{func(b *events.Backup) {
				b.BackupKind, b.ProviderRef = "SNAPSHOT", &events.ProviderRef{CopiedTo: []string{"far"}}
			}, "COMPLETED", "2", 1, "1", true},
			{func(b *events.Backup) { b.State, b.SizeBytes, b.EndTime = lifecycle.Enqueued, nil, events.Time{} }, "BUILDING", "0", 0, "0", false},
			{func(b *events.Backup) { b.State, b.SizeBytes, b.EndTime = lifecycle.Overdue, nil, events.Time{} }, "BUILDING", "0", 0, "0", false},
			{func(b *events.Backup) { b.State, b.SizeBytes, b.EndTime = lifecycle.Running, nil, events.Time{} }, "BUILDING", "0", 0, "0", false},
			{func(b *events.Backup) { b.State, b.SizeBytes, b.EndTime = lifecycle.Cancelling, nil, events.Time{} }, "BUILDING", "0", 0, "0", false},
			{func(b *events.Backup) {
				b.State, b.SizeBytes, b.EndTime = lifecycle.Failed, nil, events.At(b.EnqueuedTime.Add(61*time.Second))
			}, "FAILED", "0", 2, "0", true},
			{func(b *events.Backup) { b.State, b.SizeBytes = lifecycle.Cancelled, nil }, "FAILED", "0", 1, "0", true},
			{func(b *events.Backup) {
				b.State, b.SizeBytes, b.EndTime, b.Skip = lifecycle.Skipped, nil, events.Time{}, &events.Skip{Reason: "NO_CHANGES", Time: b.EnqueuedTime}
			}, "FAILED", "0", 1, "0", true},
			{func(b *events.Backup) { b.State = lifecycle.DeletionFailed }, "COMPLETED", "2", 1, "1", true},
			{func(b *events.Backup) { b.State, b.SizeBytes = lifecycle.DeletionFailed, nil }, "FAILED", "0", 1, "0", true},
			{func(b *events.Backup) { b.State = lifecycle.DeletionPending }, "", "", 0, "", false},
			{func(b *events.Backup) { b.State = lifecycle.Deleted }, "", "", 0, "", false},
			{func(b *events.Backup) { b.State, b.Trigger = lifecycle.Overdue, events.Scheduled }, "", "", 0, "", false},
			{func(b *events.Backup) {
				b.State, b.Trigger, b.Skip = lifecycle.Skipped, events.Scheduled, &events.Skip{}
			}, "", "", 0, "", false},
		} {
			b := w.backup(project, "orders", n, c.change)
			l := get[listed](w, path("backups")+"?backup_id="+url.QueryEscape(b.IDs.GaussDB))
			if c.status == "" {
				if l.TotalCount != 0 {
					t.Errorf("%d (%s) is shown: %+v", n, b.State, l)
				}
				continue
			}
			if len(l.Backups) != 1 {
				t.Fatalf("%d (%s) is not shown", n, b.State)
			}
			got := l.Backups[0]
			if got.Status != c.status || got.TakeUpTime != c.minutes || got.Size != c.size || (got.EndTime != nil) != c.ended || !zoned.MatchString(got.BeginTime) {
				t.Errorf("%d (%s): %+v", n, b.State, got)
			}
			if got.EndTime != nil && !zoned.MatchString(*got.EndTime) {
				t.Errorf("%d: end_time %s", n, *got.EndTime)
			}
			if (got.Level != nil) != level1 || level1 && *got.Level != c.level {
				t.Errorf("%d (%s): level %v, want %s", n, b.State, got.Level, c.level)
			}
			if got.Datastore.Type != "gaussdb-mysql" || got.Datastore.Version != "8.0" {
				t.Errorf("%d: %+v", n, got.Datastore)
			}
		}
		if raw := w.do(http.MethodGet, path("backups"), "", nil).Body.String(); strings.Contains(raw, "AVAILABLE") ||
			!regexp.MustCompile(`"total_count":12\b[^.]`).MatchString(raw) || !regexp.MustCompile(`"take_up_time":4,`).MatchString(raw) || !strings.Contains(raw, `"size":2802,`) {
			t.Errorf("%s", raw)
		}
	}
}

func TestJob_OfEveryOutcome(t *testing.T) { // section 7; row 40
	t.Parallel()
	w := newWorld(t, settings{}, nil)
	for n, c := range []struct {
		change                  func(*events.Backup)
		status, process, reason string
	}{
		{nil, "Completed", "", ""},
		{func(b *events.Backup) { b.State = lifecycle.DeletionPending }, "Completed", "", ""},
		{func(b *events.Backup) { b.State = lifecycle.Deleted }, "Completed", "", ""},
		{func(b *events.Backup) {
			b.State, b.SizeBytes, b.EndTime, b.Attempt = lifecycle.Enqueued, nil, events.Time{}, 0
		}, "Running", "0%", ""},
		{func(b *events.Backup) { b.State, b.SizeBytes, b.EndTime = lifecycle.Running, nil, events.Time{} }, "Running", "1%", ""},
		{func(b *events.Backup) { b.State, b.SizeBytes, b.EndTime = lifecycle.Overdue, nil, events.Time{} }, "Pending", "", ""},
		{func(b *events.Backup) {
			b.State, b.SizeBytes, b.Error = lifecycle.Failed, nil, &events.Failure{Code: events.Network, Message: "away"}
		}, "Failed", "", "NETWORK: away"},
		{func(b *events.Backup) { b.State, b.SizeBytes, b.Cancel = lifecycle.Cancelled, nil, &events.Cancel{} }, "Canceled", "", ""},
		{func(b *events.Backup) { b.State, b.SizeBytes, b.Cancel = lifecycle.Deleted, nil, &events.Cancel{} }, "Canceled", "", ""},
		{waited(lifecycle.Cancelled), "Canceled", "", ""},
		{waited(lifecycle.DeletionPending), "Canceled", "", ""},
		{waited(lifecycle.DeletionFailed), "Canceled", "", ""},
		{waited(lifecycle.Deleted), "Canceled", "", ""},
		{func(b *events.Backup) {
			b.State, b.SizeBytes, b.Error = lifecycle.Deleted, nil, &events.Failure{Code: events.Network, Message: "away", Retryable: true}
			b.Attempt = b.MaxAttempts
		}, "Failed", "", "NETWORK: away"},
		{func(b *events.Backup) { // it failed while it was to be cancelled
			b.State, b.SizeBytes, b.Cancel, b.Error = lifecycle.Deleted, nil, &events.Cancel{}, &events.Failure{Code: events.Network, Message: "away"}
		}, "Failed", "", "NETWORK: away"},
		{func(b *events.Backup) {
			b.State, b.SizeBytes, b.EndTime, b.Skip = lifecycle.Skipped, nil, events.Time{}, &events.Skip{Reason: "NO_CHANGES", Message: "nothing changed"}
		}, "Failed", "", "skipped: nothing changed"},
	} {
		b := w.backup(project, "orders", n, c.change)
		j := get[jobAnswer](w, path("jobs")+"?id="+b.IDs.Operation).Job
		if j.Status != c.status || j.Process != c.process || j.FailReason != c.reason || (j.Ended != "") != (c.status != "Running" && c.status != "Pending") || j.ID != b.IDs.Operation {
			t.Errorf("%d (%s): %+v", n, b.State, j)
		}
	}
	b := w.backup(project, "orders", 50, nil)
	scheduled := w.backup(project, "orders", 51, func(b *events.Backup) { b.Trigger = events.Scheduled })
	deleted := w.backup(project, "orders", 52, func(b *events.Backup) {
		b.State, b.Deletion = lifecycle.Deleted, &events.Deletion{Try: 1, Cause: "USER", EndTime: b.EndTime, RequestTime: b.EndTime}
	})
	w.backup(other, "orders", 53, nil)
	w.refused(http.MethodGet, path("jobs"), "", 400, "DBS.200006")
	w.refused(http.MethodGet, path("jobs")+"?id=", "", 400, "DBS.200006")
	for _, id := range []string{"x", scheduled.IDs.Operation, events.OperationID(events.EventID(deleted.BackupID, events.Backups, events.DeletionRequested, 1))} {
		w.refused(http.MethodGet, path("jobs")+"?id="+id, "", 400, "DBS.200543")
	}
	w.refused(http.MethodGet, "/v3/"+other+"/jobs?id="+b.IDs.Operation, "", 400, "DBS.200543")
	w.now = w.now.AddDate(0, 0, 29)
	get[jobAnswer](w, path("jobs")+"?id="+b.IDs.Operation)
	w.now = w.now.AddDate(0, 0, 3)
	w.refused(http.MethodGet, path("jobs")+"?id="+b.IDs.Operation, "", 400, "DBS.200543")
}

// waited is a backup that was cancelled while it waited for its second attempt, and what became of it then.
func waited(then events.State) func(*events.Backup) {
	return func(b *events.Backup) {
		b.State, b.SizeBytes, b.Cancel = then, nil, &events.Cancel{RequestTime: b.EndTime}
		b.Error = &events.Failure{Code: events.Network, Message: "away", Retryable: true}
	}
}

func TestJob_ProgressNeverFalls(t *testing.T) { // section 7, row "progress"
	t.Parallel()
	w := newWorld(t, settings{}, nil)
	b := w.backup(project, "orders", 1, func(b *events.Backup) { b.State, b.SizeBytes, b.EndTime = lifecycle.Running, nil, events.Time{} })
	for _, c := range []struct {
		attempt, percent int
		want             string
	}{{1, 0, "1%"}, {1, 60, "60%"}, {1, 40, "60%"}, {1, 100, "99%"}, {2, 5, "99%"}} {
		if err := w.view.SaveProgress(t.Context(), events.Progress{Project: project, BackupID: b.BackupID, Attempt: c.attempt, Percent: &c.percent}); err != nil {
			t.Fatal(err)
		}
		if j := get[jobAnswer](w, path("jobs")+"?id="+b.IDs.Operation).Job; j.Process != c.want {
			t.Errorf("%+v: %s", c, j.Process)
		}
	}
}

func TestRestoreTime(t *testing.T) { // 4.7; row 35
	t.Parallel()
	w := newWorld(t, settings{}, nil)
	i := w.instance(project, "orders")
	at := path("instances", i.IDs.GaussDB, "restore-time")
	type window struct {
		Times []struct {
			Start int64 `json:"start_time"`
			End   int64 `json:"end_time"`
		} `json:"restore_times"`
	}
	if raw := w.do(http.MethodGet, at, "", nil).Body.String(); strings.TrimSpace(raw) != `{"restore_times":[]}` {
		t.Errorf("nothing to restore: %s", raw)
	}
	w.backup(project, "orders", 1, func(b *events.Backup) { b.ConsistencyTime = events.At(time.UnixMilli(1767323045000)) })
	w.backup(project, "orders", 2, func(b *events.Backup) { b.ConsistencyTime = events.At(time.UnixMilli(1767409445000)) })
	w.backup(project, "orders", 3, func(b *events.Backup) { b.State, b.SizeBytes = lifecycle.Failed, nil })
	for query, want := range map[string]int{"": 2, "date=2026-01-02": 1, "date=2026-01-02&start_time=5": 1, "date=2026-01-05": 0, "start_time=1767323045000&end_time=1767323045000": 1,
		"start_time=0&end_time=1867323045000": 2, "start_time=&end_time=": 2} {
		got := get[window](w, at+"?"+query).Times
		if len(got) != want {
			t.Errorf("%s: %+v", query, got)
		}
		for _, x := range got {
			if x.Start != x.End || x.Start != 1767323045000 && x.Start != 1767409445000 {
				t.Errorf("%s: %+v", query, x)
			}
		}
	}
	for _, query := range []string{"start_time=1", "end_time=1", "start_time=x&end_time=5", "start_time=-1&end_time=5", "start_time=6&end_time=5", "date=x", "date=2026-02-30", "date=20260102"} {
		w.refused(http.MethodGet, at+"?"+query, "", 400, "DBS.280001")
	}
	w.refused(http.MethodGet, path("instances", "abc", "restore-time"), "", 400, "DBS.280404")
	w.refused(http.MethodGet, path("instances", "d8e6ca5a624745bcb546a227aa3ae1cfin01", "restore-time"), "", 404, "DBS.201028")
}

func TestFullAndIncrementalLists(t *testing.T) { // 4.10
	t.Parallel()
	w := newWorld(t, settings{}, nil)
	i := w.instance(project, "orders")
	w.backup(project, "orders", 1, func(b *events.Backup) { b.Name = "beta" })
	w.backup(project, "orders", 2, func(b *events.Backup) { b.Name, b.BackupKind = "alpha", "SNAPSHOT" })
	w.backup(project, "orders", 3, func(b *events.Backup) {
		b.Name, b.Trigger, b.State = "gamma", events.Scheduled, lifecycle.DeletionPending
	})
	w.backup(project, "orders", 4, func(b *events.Backup) { b.State = lifecycle.Deleted })
	at := path("instances", i.IDs.GaussDB, "backups")
	for query, want := range map[string]string{
		"": "gamma alpha beta", "order_field=name": "alpha beta gamma", "order_field=name&order_rule=desc": "gamma beta alpha",
		"order_rule=asc": "beta alpha gamma", "order_field=beginTime&order_rule=desc": "gamma alpha beta",
		"filter_field=name&filter_content=et": "beta", "limit=1&offset=1": "alpha", "offset=3": "", "filter_content=ignored": "gamma alpha beta",
	} {
		l := get[listedFull](w, at+"?"+query)
		var names []string
		for _, b := range l.Backups {
			names = append(names, b.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	l := get[listedFull](w, at)
	if b := l.Backups; l.TotalCount != "3" || b[0].Status != "DELETING" || b[1].BackupType != "Snapshot" || b[2].BackupType != "Db" || b[2].Size != "4" {
		t.Errorf("%+v", l)
	}
	if types := get[listedFull](w, at+"?order_field=type&order_rule=asc"); types.Backups[0].Name != "gamma" {
		t.Errorf("by type: %+v", types)
	}
	for _, query := range []string{"order_field=size", "order_rule=up", "filter_field=id", "offset=-1"} {
		w.refused(http.MethodGet, at+"?"+query, "", 400, "DBS.280001")
	}
	w.refused(http.MethodGet, at+"?limit=0", "", 400, "DBS.280439")
	w.refused(http.MethodGet, path("instances", "abc", "backups"), "", 400, "DBS.280404")
	incremental := path("instances", i.IDs.GaussDB, "incremental-backups")
	for _, query := range []string{"", "limit=20", "begin_time=2026-01-02T02:41:14Z&end_time=2026-01-02T02:41:15Z"} {
		if raw := w.do(http.MethodGet, incremental+"?"+query, "", nil).Body.String(); strings.TrimSpace(raw) != `{"backups":[],"total_count":0}` {
			t.Errorf("incremental: %s", raw)
		}
	}
	w.refused(http.MethodGet, incremental+"?limit=30", "", 400, "DBS.280439")
	w.refused(http.MethodGet, incremental+"?begin_time=2026-01-02T02:41:14Z", "", 400, "DBS.280001")
	w.refused(http.MethodGet, path("instances", "d8e6ca5a624745bcb546a227aa3ae1cfin01", "incremental-backups"), "", 404, "DBS.201028")
}

// By time the list is read by rank: every page is what sorting all of it would give.
func TestFullList_PagesByTime(t *testing.T) { // 4.10
	t.Parallel()
	for _, going := range []int{0, 1, 2, 3} { // in four
		w := newWorld(t, settings{}, nil)
		i := w.instance(project, "orders")
		for n := range 40 {
			w.backup(project, "orders", n, func(b *events.Backup) {
				b.EnqueuedTime = events.At(w.now.Add(time.Duration(n/3) * time.Second))
				if n%4 < going {
					b.State = lifecycle.DeletionPending
				}
			})
		}
		at := path("instances", i.IDs.GaussDB, "backups")
		names := func(query string) (out []string) {
			l := get[listedFull](w, at+"?"+query)
			for _, b := range l.Backups {
				out = append(out, b.Name)
			}
			if l.TotalCount != "40" {
				t.Errorf("%s: %s in all", query, l.TotalCount)
			}
			return out
		}
		all := names("order_field=beginTime&order_rule=desc&filter_field=name&filter_content=name&limit=100") // a filter: sorted
		oldest := slices.Clone(all)
		slices.Reverse(oldest)
		for rule, want := range map[string][]string{"desc": all, "asc": oldest} {
			for offset := range 42 {
				for _, limit := range []int{1, 7, 100} {
					got := names(fmt.Sprintf("order_field=beginTime&order_rule=%s&offset=%d&limit=%d", rule, offset, limit))
					if want := want[min(offset, 40):min(offset+limit, 40)]; !slices.Equal(got, want) {
						t.Fatalf("%s, %d from %d on: %v, want %v", rule, limit, offset, got, want)
					}
				}
			}
		}
	}
}

func TestCreate_OfAnInstanceThatCannot(t *testing.T) { // rows 23, 24
	t.Parallel()
	p := setup(t, settings{}, "orders")
	id := gaussID(t, project, "orders")
	apply := func(facts string) {
		t.Helper()
		code, raw := p.Call(http.MethodPost, "/api/v1/projects/"+project+"/instances",
			`{"provider":"sqlite","instance":"orders","config":{"engine":"sqlite","region":"eu","file":"`+p.Dir+`/orders.db","cloudsql":`+facts+`}}`)
		if code != http.StatusOK {
			t.Fatal(code, string(raw))
		}
	}
	for facts, c := range map[string]struct {
		status      int
		code, state string
	}{
		`{"state":"SUSPENDED"}`:                    {400, "DBS.280449", "FROZEN"},
		`{"state":"MAINTENANCE"}`:                  {409, "DBS.200019", "MODIFYING"},
		`{"state":"FAILED"}`:                       {409, "DBS.200019", "FAILED"},
		`{"instanceType":"READ_REPLICA_INSTANCE"}`: {409, "DBS.280406", "ACTIVE"},
	} {
		apply(facts)
		refused(t, p, http.MethodPost, path("backups", "create"), body(t, "orders", "backup-1", ""), c.status, c.code)
		code, raw := p.Call(http.MethodGet, path("instances", id), "")
		if code != 200 || !strings.Contains(string(raw), `"status":"`+c.state+`"`) {
			t.Errorf("%s: %s", facts, raw)
		}
	}
	apply(`{}`)
	never := "/sql/v1beta4/projects/" + project + "/instances/orders"
	pipelinetest.JSON[struct{}](p, http.MethodPatch, never, `{"settings":{"activationPolicy":"NEVER"}}`)
	refused(t, p, http.MethodPost, path("backups", "create"), body(t, "orders", "backup-1", ""), 409, "DBS.200019")
	apply(`{"instanceType":"READ_REPLICA_INSTANCE"}`)
	refused(t, p, http.MethodPut, path("instances", id, "backups", "policy", "update"),
		`{"backup_policy":{"start_time":"19:00-20:00","keep_days":7,"period":"1"}}`, 409, "DBS.280406")
	if n := requests(p); n != 0 {
		t.Errorf("%d were stored", n)
	}
}
