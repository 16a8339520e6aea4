package compat

import (
	"errors"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	sqladmin "google.golang.org/api/sqladmin/v1beta4"
)

// Case 28 of cloudsql.md C: Google's own Go client inserts, polls, lists, gets and deletes, and makes no
// other request than these.
func TestCloudSQL_GoClient(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			server := startUp(t)
			register(t, server, "orders")
			register(t, server, "empty")
			rec := &recorder{}
			c := newGoClient(t, version, server, rec)
			life(t, c)
			refusals(t, c)
			base := " " + c.prefix + "projects/acme/"
			want := []string{
				"DELETE" + base + "instances/orders/backupRuns/ID", "GET" + base + "instances/empty/backupRuns",
				"GET" + base + "instances/none/backupRuns", "GET" + base + "instances/orders", "GET" + base + "instances/orders/backupRuns",
				"GET" + base + "instances/orders/backupRuns/ID", "GET" + base + "operations/ID", "POST" + base + "instances/orders/backupRuns",
			}
			if diff := cmp.Diff(want, rec.shapes()); diff != "" {
				t.Errorf("requests of the client:\n%s", diff)
			}
		})
	}
}

func life(t *testing.T, c goClient) {
	t.Helper()
	op, err := c.insert("orders", "by Google's client")
	if err != nil {
		t.Fatal(err)
	}
	if op.OperationType != "BACKUP_VOLUME" || op.BackupContext == nil || op.BackupContext.BackupId == 0 {
		t.Fatalf("operation %+v", op)
	}
	op = c.wait(t, op)
	if op.Error != nil {
		t.Fatalf("operation failed: %+v", op.Error.Errors[0])
	}
	run, err := c.get("orders", op.BackupContext.BackupId)
	if err != nil || run.Status != "SUCCESSFUL" || run.Description != "by Google's client" || run.Type != "ON_DEMAND" || run.Error != nil {
		t.Fatalf("run %+v, %v", run, err)
	}
	if got := listed(t, c, "orders", 1); len(got) != 1 || len(got[0]) != 1 || got[0][0] != run.Id {
		t.Errorf("listed %v, want %d", got, run.Id)
	}
	if got := listed(t, c, "empty", 1); len(got) != 1 || len(got[0]) != 0 { // case 18
		t.Errorf("an instance without runs lists %v", got)
	}
	instance, err := c.instance("orders")
	if err != nil || instance.State != "RUNNABLE" || instance.Settings.SettingsVersion != 1 {
		t.Errorf("instance %+v, %v", instance, err)
	}
	op, err = c.remove("orders", run.Id)
	if err != nil || op.OperationType != "DELETE_BACKUP" {
		t.Fatalf("delete: %+v, %v", op, err)
	}
	if op = c.wait(t, op); op.Error != nil {
		t.Fatalf("deletion failed: %+v", op.Error.Errors[0])
	}
	gone, err := c.get("orders", run.Id)
	if err != nil || gone.Status != "DELETED" {
		t.Errorf("after the deletion: %+v, %v", gone, err)
	}
}

// listed are the ids of an instance's runs, page by page.
func listed(t *testing.T, c goClient, instance string, size int64) [][]int64 {
	t.Helper()
	var pages [][]int64
	err := c.list(instance, size, func(p *sqladmin.BackupRunsListResponse) error {
		var page []int64
		for _, r := range p.Items {
			page = append(page, r.Id)
		}
		pages = append(pages, page)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// Case 16: 25 runs in pages of 10, newest first, the last page without a token.
func TestCloudSQL_GoClientPages(t *testing.T) {
	t.Parallel()
	server := startUp(t)
	register(t, server, "orders")
	writer := newGoClient(t, "v1beta4", server, nil)
	var want []int64
	for n := range 25 {
		op, err := writer.insert("orders", strconv.Itoa(n))
		if err != nil {
			t.Fatal(err)
		}
		writer.wait(t, op)
		want = append([]int64{op.BackupContext.BackupId}, want...)
	}
	for _, version := range versions {
		got := listed(t, newGoClient(t, version, server, nil), "orders", 10)
		if diff := cmp.Diff([][]int64{want[:10], want[10:20], want[20:]}, got); diff != "" {
			t.Errorf("%s: pages:\n%s", version, diff)
		}
	}
}

// Partial responses as Go's Fields sends them (cloudsql.md 2.1, PD-10).
func TestCloudSQL_GoClientFields(t *testing.T) {
	t.Parallel()
	server := startUp(t)
	register(t, server, "orders")
	c, err := sqladmin.NewService(t.Context(), option.WithEndpoint(server+"/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	op, err := c.BackupRuns.Insert("acme", "orders", &sqladmin.BackupRun{}).Fields("name", "backupContext/backupId").Do()
	if err != nil {
		t.Fatal(err)
	}
	newGoClient(t, "v1beta4", server, nil).wait(t, &sqladmin.Operation{Name: op.Name})
	list, err := c.BackupRuns.List("acme", "orders").Fields("items(id,status)").Do()
	if err != nil {
		t.Fatal(err)
	}
	want := []*sqladmin.BackupRun{{Id: op.BackupContext.BackupId, Status: "SUCCESSFUL"}}
	if diff := cmp.Diff(want, list.Items); diff != "" || list.Kind != "" || op.Kind != "" || op.BackupContext.Kind != "" {
		t.Errorf("operation %+v, list %+v\n%s", op, list, diff)
	}
	_, err = c.BackupRuns.List("acme", "orders").Fields("items(id").Do()
	var e *googleapi.Error
	if !errors.As(err, &e) || e.Code != 400 || len(e.Errors) != 1 || e.Errors[0].Reason != "invalidParameter" {
		t.Errorf("fields that cannot be read: %v", err)
	}
}

func refusals(t *testing.T, c goClient) {
	t.Helper()
	for name, do := range map[string]struct {
		call func() error
		want string
	}{
		"unknown instance": {func() error {
			return c.list("none", 1, func(*sqladmin.BackupRunsListResponse) error { return nil })
		}, "instanceDoesNotExist"},
		"unknown run":       {func() error { _, err := c.get("orders", 7); return err }, "backupRunDoesNotExist"},
		"unknown operation": {func() error { _, err := c.operation("x"); return err }, "operationDoesNotExist"},
	} {
		err := do.call()
		var e *googleapi.Error
		if !errors.As(err, &e) || e.Code != 404 || len(e.Errors) != 1 || e.Errors[0].Reason != do.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
