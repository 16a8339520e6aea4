package compat

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	database "cloud.google.com/go/spanner/admin/database/apiv1"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"github.com/googleapis/gax-go/v2/apierror"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	sqladmin "google.golang.org/api/sqladmin/v1beta4"
)

const editorToken = "editor-token-0123456789" // may create, read and list, and not delete

// startAsking runs a server that asks who is there, and gives the file that holds the editor's token.
func startAsking(t *testing.T) (server, tokenFile string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	tokenFile = write("editor", editorToken)
	server = startUpWith(t, write("settings.yaml", fmt.Sprintf(`
access:
  - {name: owner, tokenRef: "file:%s", projects: [acme], permissions: ["*"]}
  - name: editor
    tokenRef: "file:%s"
    projects: [acme]
    permissions: [cloudsql.backupRuns.create, cloudsql.backupRuns.get, cloudsql.backupRuns.list, cloudsql.instances.get, spanner.backups.list]
`, write("own", ownToken), tokenFile)))
	registerBy(t, holder(ownToken), server, "orders")
	return server, tokenFile
}

func wants(t *testing.T, err error, code int, reason string) {
	t.Helper()
	var e *googleapi.Error
	if !errors.As(err, &e) || e.Code != code || len(e.Errors) != 1 || e.Errors[0].Reason != reason {
		t.Errorf("%v, want %d %s", err, code, reason)
	}
}

// Google's Go client sends its token as it does to Google, and reads the refusals as Google's.
func TestAccess_CloudSQLGoClient(t *testing.T) { // cases 38 and 39 of cloudsql.md C
	t.Parallel()
	server, _ := startAsking(t)
	as := func(token string) *sqladmin.Service {
		t.Helper()
		c, err := sqladmin.NewService(t.Context(), option.WithEndpoint(server+"/"), option.WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	editor := as(editorToken)
	op, err := editor.BackupRuns.Insert("acme", "orders", &sqladmin.BackupRun{}).Do()
	if err != nil || op.User != "editor" {
		t.Fatalf("%+v, %v", op, err)
	}
	c := newGoClient(t, "v1beta4", server, bearer(editorToken))
	if op = c.wait(t, op); op.Error != nil {
		t.Fatal(op.Error.Errors[0])
	}
	_, err = editor.BackupRuns.Delete("acme", "orders", op.BackupContext.BackupId).Do()
	wants(t, err, http.StatusForbidden, "forbidden")
	if run, err := editor.BackupRuns.Get("acme", "orders", op.BackupContext.BackupId).Do(); err != nil || run.Status != "SUCCESSFUL" {
		t.Errorf("%+v, %v", run, err)
	}
	_, err = editor.BackupRuns.List("other", "orders").Do()
	wants(t, err, http.StatusForbidden, "forbidden")
	_, err = as("nobody-token-0123456789").BackupRuns.List("acme", "orders").Do()
	wants(t, err, http.StatusUnauthorized, "authError")
	open, err := sqladmin.NewService(t.Context(), option.WithEndpoint(server+"/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	_, err = open.BackupRuns.List("acme", "orders").Do()
	wants(t, err, http.StatusUnauthorized, "required")
}

// gcloud takes its token from a file, as on Google's machines, and tells what Google would.
func TestAccess_CloudSQLGcloud(t *testing.T) {
	t.Parallel()
	server, tokenFile := startAsking(t)
	g := newGcloud(t, server)
	g.env = append(slices.DeleteFunc(g.env, func(v string) bool { return strings.HasPrefix(v, "CLOUDSDK_AUTH_DISABLE_CREDENTIALS=") }), "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE="+tokenFile)
	if _, notes, code := g.run("backups", "create", "--instance=orders"); code != 0 {
		t.Fatalf("create: exit %d\n%s", code, notes)
	}
	runs := g.runs("orders")
	if len(runs) != 1 {
		t.Fatal(runs)
	}
	if _, notes, code := g.run("backups", "delete", fmt.Sprint(runs[0]), "--instance=orders"); code == 0 || !strings.Contains(notes, "cloudsql.backupRuns.delete") {
		t.Errorf("delete: exit %d\n%s", code, notes)
	}
	if runs := g.runs("orders"); len(runs) != 1 {
		t.Errorf("after the refusal: %v", runs)
	}
	if err := os.WriteFile(tokenFile, []byte("nobody-token-0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, notes, code := g.run("backups", "list", "--instance=orders"); code == 0 {
		t.Errorf("list as nobody: exit %d\n%s", code, notes)
	}
}

// Google's Go client of Spanner over REST: gRPC sends no token without TLS.
func TestAccess_SpannerGoClient(t *testing.T) { // case 51 of spanner.md
	t.Parallel()
	server, _ := startAsking(t)
	as := func(token string) *database.DatabaseAdminClient {
		t.Helper()
		c, err := database.NewDatabaseAdminRESTClient(t.Context(), option.WithEndpoint(server), option.WithHTTPClient(holder(token)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	const parent = "projects/acme/instances/orders"
	if _, err := as(editorToken).ListBackups(t.Context(), &databasepb.ListBackupsRequest{Parent: parent}).Next(); !errors.Is(err, iterator.Done) {
		t.Error(err)
	}
	for token, want := range map[string]int{editorToken: http.StatusForbidden, "nobody-token-0123456789": http.StatusUnauthorized} {
		_, err := as(token).GetBackup(t.Context(), &databasepb.GetBackupRequest{Name: parent + "/backups/b1"})
		var e *apierror.APIError
		if !errors.As(err, &e) || e.HTTPCode() != want || want == http.StatusForbidden && !strings.Contains(err.Error(), "Caller is missing IAM permission spanner.backups.get on resource "+parent+"/backups/b1.") {
			t.Errorf("%v, want %d", err, want)
		}
	}
}
