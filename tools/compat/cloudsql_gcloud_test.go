package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	sqladmin "google.golang.org/api/sqladmin/v1beta4"
)

// gcloud is the command line of Google's SDK, pointed at our server.
type gcloud struct {
	t       *testing.T
	program string
	env     []string
}

func newGcloud(t *testing.T, server string) *gcloud {
	t.Helper()
	program, err := exec.LookPath("gcloud")
	if err != nil {
		t.Skip("gcloud is not on the PATH: it was not tried") // it is in no Debian package, so nothing can demand it
	}
	return &gcloud{t: t, program: program, env: append(os.Environ(),
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_SQL="+server+"/", "CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true",
		"CLOUDSDK_CONFIG="+t.TempDir(), "CLOUDSDK_CORE_PROJECT=acme", "CLOUDSDK_CORE_DISABLE_PROMPTS=1",
		"CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true", "CLOUDSDK_CORE_DISABLE_FILE_LOGGING=true",
		"CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=true", "CLOUDSDK_SURVEY_DISABLE_PROMPTS=true")}
}

// run is `gcloud sql ARGS`: what it wrote, and its exit code.
func (g *gcloud) run(args ...string) (stdout, stderr string, code int) {
	g.t.Helper()
	var out, notes bytes.Buffer
	cmd := exec.CommandContext(g.t.Context(), g.program, append([]string{"sql"}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = g.env, &out, &notes
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		g.t.Fatal(err)
	}
	return out.String(), notes.String(), cmd.ProcessState.ExitCode()
}

// read runs a command that must succeed and reads what it shows.
func (g *gcloud) read(into any, args ...string) {
	g.t.Helper()
	out, notes, code := g.run(append(args, "--format=json")...)
	if code != 0 {
		g.t.Fatalf("gcloud sql %s: exit %d\n%s", strings.Join(args, " "), code, notes)
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		g.t.Fatalf("gcloud sql %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (g *gcloud) runs(instance string) (ids []int64) {
	g.t.Helper()
	var runs []sqladmin.BackupRun
	g.read(&runs, "backups", "list", "--instance="+instance)
	for _, r := range runs {
		ids = append(ids, r.Id)
	}
	return ids
}

// gcloud takes, lists, describes and deletes backups, and waits for their operations.
func TestCloudSQL_Gcloud(t *testing.T) {
	t.Parallel()
	server := startUp(t)
	g := newGcloud(t, server)
	register(t, server, "orders")
	if got := g.runs("orders"); got != nil { // case 18
		t.Errorf("an instance without runs lists %v", got)
	}
	if _, notes, code := g.run("backups", "create", "--instance=orders", "--description=before migration"); code != 0 { // case 29
		t.Fatalf("create: exit %d\n%s", code, notes)
	}
	first := g.runs("orders")
	if len(first) != 1 {
		t.Fatalf("after create: %v", first)
	}
	var op sqladmin.Operation
	g.read(&op, "backups", "create", "--instance=orders", "--async")
	if op.OperationType != "BACKUP_VOLUME" || op.BackupContext == nil {
		t.Fatalf("create --async: %+v", op)
	}
	if _, notes, code := g.run("operations", "wait", op.Name); code != 0 {
		t.Fatalf("wait: exit %d\n%s", code, notes)
	}
	var same sqladmin.Operation
	g.read(&same, "operations", "describe", op.Name)
	if same.Name != op.Name || same.Status != "DONE" || same.Error != nil || same.TargetId != "orders" {
		t.Errorf("describe operation: %+v", same)
	}
	if diff := cmp.Diff([]int64{op.BackupContext.BackupId, first[0]}, g.runs("orders")); diff != "" {
		t.Errorf("list, newest first:\n%s", diff)
	}
	if diff := cmp.Diff(g.runs("orders"), g.runs("-")); diff != "" { // B21: all instances
		t.Errorf("list of all instances:\n%s", diff)
	}
	var all []sqladmin.Backup // without an instance gcloud asks for the newer resource
	if g.read(&all, "backups", "list"); len(all) != 2 || all[0].State != "SUCCESSFUL" || all[0].Instance != "orders" {
		t.Errorf("list of backups: %+v", all)
	}
	var run sqladmin.BackupRun
	id := strconv.FormatInt(first[0], 10)
	g.read(&run, "backups", "describe", id, "--instance=orders")
	if run.Id != first[0] || run.Status != "SUCCESSFUL" || run.Description != "before migration" {
		t.Errorf("describe: %+v", run)
	}
	if _, notes, code := g.run("backups", "delete", id, "--instance=orders", "--quiet"); code != 0 {
		t.Fatalf("delete: exit %d\n%s", code, notes)
	}
	if diff := cmp.Diff([]int64{op.BackupContext.BackupId}, g.runs("orders")); diff != "" {
		t.Errorf("after delete:\n%s", diff)
	}
	var ops []sqladmin.Operation
	g.read(&ops, "operations", "list", "--instance=orders")
	var kinds []string
	for _, o := range ops {
		kinds = append(kinds, o.OperationType+" "+o.Status)
	}
	if diff := cmp.Diff([]string{"DELETE_BACKUP DONE", "BACKUP_VOLUME DONE", "BACKUP_VOLUME DONE"}, kinds); diff != "" {
		t.Errorf("operations, newest first:\n%s", diff)
	}
	if _, notes, code := g.run("operations", "cancel", op.Name); code == 0 || !strings.Contains(notes, "HTTPError 400: ") { // PD-9
		t.Errorf("cancel of an operation that is done: exit %d\n%s", code, notes)
	}
	if _, notes, code := g.run("backups", "describe", "7", "--instance=orders"); code == 0 || !strings.Contains(notes, "The backup run does not exist.") {
		t.Errorf("describe of a run that is not there: exit %d\n%s", code, notes)
	}
}

// Case 29: a backup that fails ends gcloud with an error that names the operation's code.
func TestCloudSQL_GcloudTellsFailure(t *testing.T) {
	t.Parallel()
	server := startUp(t)
	g := newGcloud(t, server)
	if err := os.Remove(register(t, server, "orders")); err != nil { // the database is gone
		t.Fatal(err)
	}
	_, notes, code := g.run("backups", "create", "--instance=orders")
	if code == 0 {
		t.Fatalf("create of a backup that fails: exit 0\n%s", notes)
	}
	var ops []sqladmin.Operation
	g.read(&ops, "operations", "list", "--instance=orders")
	if len(ops) != 1 || ops[0].Status != "DONE" || ops[0].Error == nil {
		t.Fatalf("operations %+v", ops)
	}
	if want := "[" + ops[0].Error.Errors[0].Code + "]"; !strings.Contains(notes, want) {
		t.Errorf("gcloud does not say %s:\n%s", want, notes)
	}
}

// `instances patch` switches automated backups on, as gcloud does it: GET, PATCH, poll, GET.
func TestCloudSQL_GcloudPatchesInstance(t *testing.T) {
	t.Parallel()
	server := startUp(t)
	g := newGcloud(t, server)
	register(t, server, "orders")
	if _, notes, code := g.run("instances", "patch", "orders", "--backup-start-time=13:00"); code != 0 {
		t.Fatalf("patch: exit %d\n%s", code, notes)
	}
	var i sqladmin.DatabaseInstance
	g.read(&i, "instances", "describe", "orders")
	if c := i.Settings.BackupConfiguration; !c.Enabled || c.StartTime != "13:00" {
		t.Errorf("backup configuration %+v", c)
	}
	if _, notes, code := g.run("instances", "patch", "orders", "--no-backup"); code != 0 {
		t.Fatalf("patch: exit %d\n%s", code, notes)
	}
	g.read(&i, "instances", "describe", "orders")
	if i.Settings.BackupConfiguration.Enabled {
		t.Error("--no-backup leaves automated backups on")
	}
}
