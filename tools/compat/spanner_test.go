package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

func durationOf(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

// spannerNodeClient is Google's Node client of Spanner, in the version that the test was written with.
const spannerNodeClient = "@google-cloud/spanner@8.13.0"

var installSpannerClient = sync.OnceValues(func() (string, error) { return installClient(spannerNodeClient) })

// Google's Node client, pointed here by its environment variable alone (case 50).
func TestSpanner_NodeClient(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node is not on the PATH: Google's Node client of Spanner was not tried")
	}
	modules, err := installSpannerClient()
	if err != nil {
		missing(t, "Google's Node client of Spanner was not tried: "+err.Error())
	}
	server := startUp(t)
	register(t, server, "orders")
	cmd := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "node", "spanner.mjs"), modules)
	cmd.Env = append(os.Environ(), "SPANNER_EMULATOR_HOST="+strings.TrimPrefix(server, "http://"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// gcloud spanner takes, describes, lists, changes and deletes backups, and shows their operations.
func TestSpanner_Gcloud(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("gcloud")
	if err != nil {
		t.Skip("gcloud is not on the PATH: it was not tried") // it is in no Debian package, so nothing can demand it
	}
	server := startUp(t)
	register(t, server, "orders")
	config := t.TempDir()
	run := func(args ...string) (string, string, int) {
		t.Helper()
		var out, notes bytes.Buffer
		cmd := exec.CommandContext(t.Context(), program, append([]string{"spanner"}, args...)...)
		cmd.Env = append(os.Environ(), "CLOUDSDK_API_ENDPOINT_OVERRIDES_SPANNER="+server+"/", "CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true",
			"CLOUDSDK_CONFIG="+config, "CLOUDSDK_CORE_PROJECT=acme", "CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true",
			"CLOUDSDK_CORE_DISABLE_FILE_LOGGING=true", "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=true", "CLOUDSDK_SURVEY_DISABLE_PROMPTS=true")
		cmd.Stdout, cmd.Stderr = &out, &notes
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return out.String(), notes.String(), cmd.ProcessState.ExitCode()
	}
	read := func(into any, args ...string) {
		t.Helper()
		out, notes, code := run(append(args, "--format=json")...)
		if code != 0 {
			t.Fatalf("gcloud spanner %s: exit %d\n%s", strings.Join(args, " "), code, notes)
		}
		if err := json.Unmarshal([]byte(out), into); err != nil {
			t.Fatalf("gcloud spanner %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	type backup struct{ Name, State, Database, ExpireTime, SizeBytes string }
	if _, notes, code := run("backups", "create", "b1", "--instance=orders", "--database=orders.db", "--retention-period=2d"); code != 0 {
		t.Fatalf("create: exit %d\n%s", code, notes)
	}
	var one backup
	read(&one, "backups", "describe", "b1", "--instance=orders")
	if one.Name != spannerInstance+"/backups/b1" || one.State != "READY" || one.Database != spannerDatabase || one.SizeBytes == "" {
		t.Errorf("describe: %+v", one)
	}
	if _, notes, code := run("backups", "create", "b2", "--instance=orders", "--database=orders.db", "--retention-period=2d", "--async"); code != 0 {
		t.Fatalf("create --async: exit %d\n%s", code, notes)
	}
	var all []backup
	if read(&all, "backups", "list", "--instance=orders", "--database=orders.db"); len(all) != 2 {
		t.Errorf("list: %+v", all)
	}
	was := one.ExpireTime
	if _, notes, code := run("backups", "update-metadata", "b1", "--instance=orders", "--retention-period=9d"); code != 0 {
		t.Errorf("update-metadata: exit %d\n%s", code, notes)
	}
	if read(&one, "backups", "describe", "b1", "--instance=orders"); one.ExpireTime == was {
		t.Errorf("the expiry stayed %s", was)
	}
	var ops []struct {
		Name string
		Done bool
	}
	if read(&ops, "operations", "list", "--instance=orders", "--type=BACKUP"); len(ops) != 2 {
		t.Fatalf("operations: %+v", ops)
	}
	oldest := ops[1].Name
	var op struct{ Name string }
	read(&op, "operations", "describe", oldest[strings.LastIndexByte(oldest, '/')+1:], "--instance=orders", "--backup=b1")
	if op.Name != oldest {
		t.Errorf("describe of the operation: %+v, want %s", op, oldest)
	}
	if _, notes, code := run("operations", "cancel", oldest[strings.LastIndexByte(oldest, '/')+1:], "--instance=orders", "--backup=b1"); code != 0 {
		t.Errorf("cancel of what has ended: exit %d\n%s", code, notes)
	}
	if _, notes, code := run("backup-schedules", "create", "nightly", "--instance=orders", "--database=orders.db", "--cron=0 2 * * *", "--retention-duration=2d", "--backup-type=full-backup"); code != 0 {
		t.Errorf("backup-schedules create: exit %d\n%s", code, notes)
	}
	var schedules []struct{ Name string }
	if read(&schedules, "backup-schedules", "list", "--instance=orders", "--database=orders.db"); len(schedules) != 1 {
		t.Errorf("backup-schedules list: %+v", schedules)
	}
	if _, notes, code := run("backups", "delete", "b1", "--instance=orders", "--quiet"); code != 0 {
		t.Errorf("delete: exit %d\n%s", code, notes)
	}
	if _, notes, code := run("backups", "describe", "b1", "--instance=orders"); code == 0 || !strings.Contains(notes, "NOT_FOUND: Backup not found") {
		t.Errorf("describe of a deleted one: exit %d\n%s", code, notes)
	}
	if _, notes, code := run("backups", "create", "b3", "--instance=orders", "--database=none.db", "--retention-period=2d"); code == 0 || !strings.Contains(notes, "Database not found") {
		t.Errorf("create of no database: exit %d\n%s", code, notes)
	}
}
