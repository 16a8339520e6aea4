package compat

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	sqladmin "google.golang.org/api/sqladmin/v1beta4"
)

// Case 28 of cloudsql.md C: Google's own Go client inserts, polls, lists, gets and deletes, and makes no
// other request than these.
func TestCloudSQL_GoClient(t *testing.T) {
	t.Parallel()
	server := startUp(t)
	register(t, server, "orders")
	register(t, server, "empty")
	rec := &recorder{}
	ctx := t.Context()
	c, err := sqladmin.NewService(ctx, option.WithEndpoint(server+"/"), option.WithHTTPClient(&http.Client{Transport: rec}))
	if err != nil {
		t.Fatal(err)
	}
	op, err := c.BackupRuns.Insert("acme", "orders", &sqladmin.BackupRun{Description: "by Google's client"}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if op.OperationType != "BACKUP_VOLUME" || op.BackupContext == nil || op.BackupContext.BackupId == 0 {
		t.Fatalf("operation %+v", op)
	}
	op = wait(t, c, op)
	if op.Error != nil {
		t.Fatalf("operation failed: %+v", op.Error.Errors[0])
	}
	run, err := c.BackupRuns.Get("acme", "orders", op.BackupContext.BackupId).Do()
	if err != nil || run.Status != "SUCCESSFUL" || run.Description != "by Google's client" || run.Type != "ON_DEMAND" || run.Error != nil {
		t.Fatalf("run %+v, %v", run, err)
	}
	listed := 0
	err = c.BackupRuns.List("acme", "orders").MaxResults(1).Pages(ctx, func(p *sqladmin.BackupRunsListResponse) error {
		for _, r := range p.Items {
			if listed++; r.Id != run.Id {
				t.Errorf("listed run %d", r.Id)
			}
		}
		return nil
	})
	if err != nil || listed != 1 {
		t.Errorf("%d runs listed, %v", listed, err)
	}
	none, err := c.BackupRuns.List("acme", "empty").Do() // case 18
	if err != nil || len(none.Items) != 0 {
		t.Errorf("list of an instance without runs: %+v, %v", none, err)
	}
	instance, err := c.Instances.Get("acme", "orders").Do()
	if err != nil || instance.State != "RUNNABLE" || instance.Settings.SettingsVersion != 1 {
		t.Errorf("instance %+v, %v", instance, err)
	}
	op, err = c.BackupRuns.Delete("acme", "orders", run.Id).Do()
	if err != nil || op.OperationType != "DELETE_BACKUP" {
		t.Fatalf("delete: %+v, %v", op, err)
	}
	if op = wait(t, c, op); op.Error != nil {
		t.Fatalf("deletion failed: %+v", op.Error.Errors[0])
	}
	gone, err := c.BackupRuns.Get("acme", "orders", run.Id).Do()
	if err != nil || gone.Status != "DELETED" {
		t.Errorf("after the deletion: %+v, %v", gone, err)
	}
	refusals(t, c)
	const base = " /sql/v1beta4/projects/acme/"
	want := []string{
		"DELETE" + base + "instances/orders/backupRuns/ID", "GET" + base + "instances/empty/backupRuns",
		"GET" + base + "instances/none/backupRuns", "GET" + base + "instances/orders", "GET" + base + "instances/orders/backupRuns",
		"GET" + base + "instances/orders/backupRuns/ID", "GET" + base + "operations/ID", "POST" + base + "instances/orders/backupRuns",
	}
	if diff := cmp.Diff(want, rec.shapes()); diff != "" {
		t.Errorf("requests of the client:\n%s", diff)
	}
}

// Case 16: 25 runs in pages of 10.
func TestCloudSQL_GoClientPages(t *testing.T) {
	t.Parallel()
	server := startUp(t)
	register(t, server, "orders")
	c, err := sqladmin.NewService(t.Context(), option.WithEndpoint(server+"/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 25 {
		op, err := c.BackupRuns.Insert("acme", "orders", &sqladmin.BackupRun{Description: strconv.Itoa(n)}).Do()
		if err != nil {
			t.Fatal(err)
		}
		wait(t, c, op)
	}
	ids, pages := map[int64]bool{}, 0
	err = c.BackupRuns.List("acme", "orders").MaxResults(10).Pages(t.Context(), func(p *sqladmin.BackupRunsListResponse) error {
		pages++
		for _, r := range p.Items {
			ids[r.Id] = true
		}
		return nil
	})
	if err != nil || pages != 3 || len(ids) != 25 {
		t.Errorf("%d pages, %d ids, %v", pages, len(ids), err)
	}
}

func refusals(t *testing.T, c *sqladmin.Service) {
	t.Helper()
	for name, do := range map[string]struct {
		call func() error
		want string
	}{
		"unknown instance":  {func() error { _, err := c.BackupRuns.List("acme", "none").Do(); return err }, "instanceDoesNotExist"},
		"unknown run":       {func() error { _, err := c.BackupRuns.Get("acme", "orders", 7).Do(); return err }, "backupRunDoesNotExist"},
		"unknown operation": {func() error { _, err := c.Operations.Get("acme", "x").Do(); return err }, "operationDoesNotExist"},
	} {
		err := do.call()
		var e *googleapi.Error
		if !errors.As(err, &e) || e.Code != 404 || len(e.Errors) != 1 || e.Errors[0].Reason != do.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func wait(t *testing.T, c *sqladmin.Service, op *sqladmin.Operation) *sqladmin.Operation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for op.Status != "DONE" {
		var err error
		if op, err = c.Operations.Get("acme", op.Name).Context(ctx).Do(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return op
}
