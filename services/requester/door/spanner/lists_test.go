package spanner_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/backupbus/backupbus/events"
)

// three are two ready backups and one that is being made, oldest first.
func three(t *testing.T) (world, []*longrunningpb.Operation) {
	t.Helper()
	w := setup(t)
	return w, []*longrunningpb.Operation{w.ready(parent, "first", "d1"), w.ready(parent, "second", "d2"), w.create(parent, "third", "d3")}
}

func TestLists_NewestFirstInPages(t *testing.T) { // cases 31, 32, (b) 40, 41
	t.Parallel()
	w, ops := three(t)
	w.create(parent, "failed", "d4")
	w.finish("failed", &events.Failure{Code: events.Internal, Category: events.BySystem, Message: "broken"})
	want := []string{"third", "second", "first"}
	for _, size := range []int32{0, -1, 3, 5000} {
		if diff := cmp.Diff(want, w.list(&databasepb.ListBackupsRequest{PageSize: size})); diff != "" {
			t.Errorf("page_size %d:\n%s", size, diff)
		}
	}
	var got []string
	seen := map[string]bool{}
	r := &databasepb.ListBackupsRequest{Parent: parent, PageSize: 1}
	for pages := 1; ; pages++ {
		resp, err := w.admin.ListBackups(w.ctx(), r)
		if err != nil || len(resp.GetBackups()) != 1 || seen[resp.GetNextPageToken()] {
			t.Fatalf("page %d: %v, %v", pages, resp, err)
		}
		got = append(got, lastOf(resp.GetBackups()[0].GetName()))
		if r.PageToken = resp.GetNextPageToken(); r.PageToken == "" {
			break
		}
		seen[r.PageToken] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in pages of one:\n%s", diff)
	}
	resp, err := w.admin.ListBackups(w.ctx(), &databasepb.ListBackupsRequest{Parent: parent, PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]*databasepb.ListBackupsRequest{
		"another parent": {Parent: named, PageToken: resp.GetNextPageToken()}, "another filter": {Parent: parent, Filter: "state:READY", PageToken: resp.GetNextPageToken()},
		"made up": {Parent: parent, PageToken: "made up"}, "empty one": {Parent: parent, PageToken: "e30"},
		"no cursor of this list": {Parent: parent, PageToken: made("ListBackups "+parent, "zzz")}, "a cursor of another list": {Parent: parent, PageToken: made("ListBackups "+parent, "000000000000000.rs_abcdefghijklmnopqrstuvwxyz")},
	} {
		_, err := w.admin.ListBackups(w.ctx(), r)
		refused(t, what, err, codes.InvalidArgument, "Invalid ListBackups request.")
	}
	_, err = w.admin.ListBackupOperations(w.ctx(), &databasepb.ListBackupOperationsRequest{Parent: parent, PageToken: resp.GetNextPageToken()})
	refused(t, "another list", err, codes.InvalidArgument, "Invalid ListBackupOperations request.")
	names := w.operations(&databasepb.ListBackupOperationsRequest{})
	if len(names) != 4 || names[1] != ops[2].GetName() || names[3] != ops[0].GetName() {
		t.Errorf("operations %v", names)
	}
}

func TestLists_FiltersOfBackups(t *testing.T) { // cases 33, 34
	t.Parallel()
	w, _ := three(t)
	at := func(name string) string {
		return w.backup(parent + "/backups/" + name).GetCreateTime().AsTime().Format(time.RFC3339Nano)
	}
	second := at("second")
	all := []string{"third", "second", "first"}
	for filter, want := range map[string][]string{
		"":                                       all,
		"state:CREATING":                         {"third"},
		"state:READY":                            {"second", "first"},
		"state = ready":                          {"second", "first"},
		"state!=READY":                           {"third"},
		"name:ir":                                {"third", "first"},
		"name:THIRD":                             {"third"},
		"database:d1":                            {"first"},
		`database="` + parent + `/databases/d2"`: {"second"},
		"size_bytes>0":                           {"second", "first"},
		"sizeBytes > 1000 sizeBytes<1000000":     {"second", "first"},
		`create_time < "` + second + `"`:         {"first"},
		`create_time <= "` + second + `"`:        {"second", "first"},
		`create_time >= "` + second + `" AND state:READY`:       {"second"},
		"create_time >= \"" + second + "\"\nAND\n\tstate:READY": {"second"},
		`expire_time <= "2100-01-01T00:00:00.123456+02:00"`:     all,
		`expire_time <= "2001-01-01T00:00:00Z"`:                 nil,
		`version_time > "` + second + `"`:                       {"third"},
		`(name:second) AND (create_time >= "` + second + `")`:   {"second"},
		"NOT state:READY":                              {"third"},
		"(name:first) OR (name:third)":                 {"third", "first"},
		"name:first OR name:second AND state:CREATING": {"first"}, // AND binds tighter
		"(name:first OR name:second) AND state:READY":  {"second", "first"},
		"NOT (name:first OR name:second)":              {"third"},
		"expire_time:*":                                all,
		"backup_schedules:*":                           nil,
		"backup_schedules:nightly":                     nil,
	} {
		if diff := cmp.Diff(want, w.list(&databasepb.ListBackupsRequest{Filter: filter})); diff != "" {
			t.Errorf("%s:\n%s", filter, diff)
		}
	}
}

func TestLists_FiltersOfOperations(t *testing.T) { // cases 35, 37
	t.Parallel()
	w, ops := three(t)
	cancelled := w.create(parent, "stopped", "d4")
	if err := w.cancel(cancelled.GetName()); err != nil {
		t.Fatal(err)
	}
	const kind = "type.googleapis.com/google.spanner.admin.database.v1.CreateBackupMetadata"
	one, two, run, end := ops[0].GetName(), ops[1].GetName(), ops[2].GetName(), cancelled.GetName()
	for filter, want := range map[string][]string{
		"":                                    {end, run, two, one},
		"done:true":                           {end, two, one},
		"done=false":                          {run},
		"error:*":                             {end},
		"NOT error:*":                         {run, two, one},
		"metadata.@type:CreateBackupMetadata": {end, run, two, one},
		"metadata.@type=" + kind:              {end, run, two, one},
		"metadata.@type:CopyBackupMetadata":   nil,
		`name="` + one + `"`:                  {one},
		"name:" + one:                         {one},
		"(metadata.@type:" + kind + ") AND (metadata.name:" + parent + "/backups/second)":   {two},
		"(metadata.@type=" + kind + ") AND (metadata.database=" + parent + "/databases/d3)": {run},
		"(metadata.@type:CreateBackupMetadata) AND (metadata.database:d1)":                  {one},
		"(metadata.@type:CopyBackupMetadata) AND (metadata.source_backup:first)":            nil,
		`metadata.database:"` + parent + `/databases/d1"`:                                   {one},
		"metadata.database:d2":         {two},
		"metadata.source_backup:first": nil,
		"metadata.database:d2 OR (metadata.@type:CreateBackupMetadata AND metadata.database:d1)": {two, one},
		`metadata.progress.start_time > "2001-01-01T00:00:00Z" AND done:false`:                   {run},
		"metadata.progress.progress_percent=100":                                                 {two, one},
		"metadata.cancel_time:*":                                                                 {end},
		"response.@type:Backup":                                                                  {two, one},
		"response.size_bytes>0 AND response.state:READY":                                         {two, one},
		"name:" + parent + "/backups/ AND ((metadata.@type:RestoreDatabaseMetadata) OR (metadata.@type:CreateBackupMetadata))": {end, run, two, one},
	} {
		if diff := cmp.Diff(want, w.operations(&databasepb.ListBackupOperationsRequest{Filter: filter})); diff != "" {
			t.Errorf("%s:\n%s", filter, diff)
		}
	}
	refuse := func(filter string) { // case 36, 38, (b) 42, 43
		_, err := w.admin.ListBackupOperations(w.ctx(), &databasepb.ListBackupOperationsRequest{Parent: parent, Filter: filter})
		refused(t, filter, err, codes.InvalidArgument, "Invalid ListBackupOperations request.")
	}
	refuse("(metadata.database:x) AND (metadata.@type:" + kind + ")")
	refuse("metadata.@type:CreateBackupMetadata OR (metadata.database:x AND metadata.@type:CopyBackupMetadata)") // each operand by itself
	refuse("(metadata.database:x OR name:y) AND metadata.@type:CopyBackupMetadata")
	refuse("metadata.none:x")
	refuse("nothing:x")
	refuse("error.code:")
}

func TestLists_MalformedFilters(t *testing.T) { // case 38, (b) 43
	t.Parallel()
	w := setup(t)
	deep := ""
	for range 60 {
		deep += "("
	}
	for _, filter := range []string{"state", "state:", ":READY", "state:READY AND", "AND state:READY", "(state:READY", "state:READY)", "none:x", "state:SOME", "name ~ x", `name:"x`,
		"create_time > yesterday", "size_bytes > much", "name:x OR", "NOT", "()", "encryption_info:*", "create_time:\x00", deep + "name:x", fmt.Sprintf("name:%05000d", 1)} {
		_, err := w.admin.ListBackups(w.ctx(), &databasepb.ListBackupsRequest{Parent: parent, Filter: filter})
		refused(t, filter, err, codes.InvalidArgument, "Invalid ListBackups request.")
		_, err = w.ops.ListOperations(w.ctx(), &longrunningpb.ListOperationsRequest{Name: parent + "/backups/b/operations", Filter: filter})
		refused(t, filter, err, codes.InvalidArgument, "Invalid ListOperations request.")
	}
}

func TestLists_OperationsOfABackup(t *testing.T) { // case 40, (b) 57
	t.Parallel()
	w, ops := three(t)
	for _, name := range []string{parent + "/backups/first/operations", parent + "/backups/first"} {
		resp, err := w.ops.ListOperations(w.ctx(), &longrunningpb.ListOperationsRequest{Name: name})
		if err != nil || len(resp.GetOperations()) != 1 || resp.GetOperations()[0].GetName() != ops[0].GetName() {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
	}
	got := w.rest("GET", parent+"/backups/first/operations", "", 200)
	if list, _ := got.at("operations").([]any); len(list) != 1 {
		t.Errorf("over REST: %v", got)
	}
	for _, name := range []string{parent + "/operations", parent + "/databases/d1/operations", "projects/acme/instanceConfigs/c/operations", parent + "/backups/none/operations"} {
		if got := w.rest("GET", name, "", 200); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
	none := "projects/acme/instances/none"
	_, err := w.admin.ListBackups(w.ctx(), &databasepb.ListBackupsRequest{Parent: none})
	refused(t, "backups of no instance", err, codes.NotFound, "Instance not found: "+none)
	_, err = w.admin.ListBackupOperations(w.ctx(), &databasepb.ListBackupOperationsRequest{Parent: none})
	refused(t, "operations of no instance", err, codes.NotFound, "Instance not found: "+none)
	_, err = w.ops.ListOperations(w.ctx(), &longrunningpb.ListOperationsRequest{Name: none + "/operations"})
	refused(t, "operations of no instance", err, codes.NotFound, "Instance not found: "+none)
	if got := w.rest("GET", named+"/backups", "", 200); len(got) != 0 {
		t.Errorf("an instance without backups: %v", got)
	}
}

// The creation of a backup that is gone stays listed, with its own name.
func TestLists_OperationsOutliveTheirBackups(t *testing.T) {
	t.Parallel()
	w := setup(t)
	op := w.ready(parent, "b1", "db")
	if _, err := w.admin.DeleteBackup(w.ctx(), &databasepb.DeleteBackupRequest{Name: parent + "/backups/b1"}); err != nil {
		t.Fatal(err)
	}
	w.Await("acme", w.id("b1"), events.Deleted)
	again := w.create(parent, "b1", "db")
	if names := w.operations(&databasepb.ListBackupOperationsRequest{}); !slices.Equal(names, []string{again.GetName(), op.GetName()}) {
		t.Errorf("operations %v", names)
	}
}

// made is a page token as somebody may make it up.
func made(list, cursor string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"l":%q,"c":%q}`, list, cursor)))
}
