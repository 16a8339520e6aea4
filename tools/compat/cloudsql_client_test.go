package compat

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"google.golang.org/api/option"
	v1 "google.golang.org/api/sqladmin/v1"
	sqladmin "google.golang.org/api/sqladmin/v1beta4"
)

// versions are those that Google's clients speak today.
var versions = []string{"v1beta4", "v1"}

// goClient is Google's Go client of one version, project acme. Both versions have the same schemas; their
// types are given as those of v1beta4.
type goClient struct {
	prefix    string // of its paths
	insert    func(instance, description string) (*sqladmin.Operation, error)
	get       func(instance string, id int64) (*sqladmin.BackupRun, error)
	list      func(instance string, size int64, page func(*sqladmin.BackupRunsListResponse) error) error
	remove    func(instance string, id int64) (*sqladmin.Operation, error)
	operation func(name string) (*sqladmin.Operation, error)
	instance  func(name string) (*sqladmin.DatabaseInstance, error)
}

// newGoClient makes the client of a version as a user does, with no more than an endpoint.
func newGoClient(t *testing.T, version, server string, transport http.RoundTripper) goClient {
	t.Helper()
	options := []option.ClientOption{option.WithEndpoint(server + "/"), option.WithoutAuthentication()}
	if transport != nil {
		options = []option.ClientOption{option.WithEndpoint(server + "/"), option.WithHTTPClient(&http.Client{Transport: transport})}
	}
	if version == "v1" {
		c, err := v1.NewService(t.Context(), options...)
		if err != nil {
			t.Fatal(err)
		}
		return clientV1(t.Context(), c)
	}
	c, err := sqladmin.NewService(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	return clientV1beta4(t.Context(), c)
}

func clientV1beta4(ctx context.Context, c *sqladmin.Service) goClient {
	return goClient{
		prefix: "/sql/v1beta4/",
		insert: func(instance, description string) (*sqladmin.Operation, error) {
			return c.BackupRuns.Insert("acme", instance, &sqladmin.BackupRun{Description: description}).Do()
		},
		get: func(instance string, id int64) (*sqladmin.BackupRun, error) {
			return c.BackupRuns.Get("acme", instance, id).Do()
		},
		list: func(instance string, size int64, page func(*sqladmin.BackupRunsListResponse) error) error {
			return c.BackupRuns.List("acme", instance).MaxResults(size).Pages(ctx, page)
		},
		remove: func(instance string, id int64) (*sqladmin.Operation, error) {
			return c.BackupRuns.Delete("acme", instance, id).Do()
		},
		operation: func(name string) (*sqladmin.Operation, error) { return c.Operations.Get("acme", name).Do() },
		instance:  func(name string) (*sqladmin.DatabaseInstance, error) { return c.Instances.Get("acme", name).Do() },
	}
}

func clientV1(ctx context.Context, c *v1.Service) goClient {
	return goClient{
		prefix: "/v1/",
		insert: func(instance, description string) (*sqladmin.Operation, error) {
			return as[sqladmin.Operation](c.BackupRuns.Insert("acme", instance, &v1.BackupRun{Description: description}).Do())
		},
		get: func(instance string, id int64) (*sqladmin.BackupRun, error) {
			return as[sqladmin.BackupRun](c.BackupRuns.Get("acme", instance, id).Do())
		},
		list: func(instance string, size int64, page func(*sqladmin.BackupRunsListResponse) error) error {
			return c.BackupRuns.List("acme", instance).MaxResults(size).Pages(ctx, func(p *v1.BackupRunsListResponse) error {
				same, err := as[sqladmin.BackupRunsListResponse](p, nil)
				if err != nil {
					return err
				}
				return page(same)
			})
		},
		remove: func(instance string, id int64) (*sqladmin.Operation, error) {
			return as[sqladmin.Operation](c.BackupRuns.Delete("acme", instance, id).Do())
		},
		operation: func(name string) (*sqladmin.Operation, error) {
			return as[sqladmin.Operation](c.Operations.Get("acme", name).Do())
		},
		instance: func(name string) (*sqladmin.DatabaseInstance, error) {
			return as[sqladmin.DatabaseInstance](c.Instances.Get("acme", name).Do())
		},
	}
}

// as turns an answer of v1 into the same type of v1beta4.
func as[T any](answer any, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	same := new(T)
	return same, json.Unmarshal(raw, same)
}

// wait polls an operation as the API's users do.
func (c goClient) wait(t *testing.T, op *sqladmin.Operation) *sqladmin.Operation {
	t.Helper()
	late := time.After(patience)
	for op.Status != "DONE" {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-late:
			t.Fatalf("operation %s is %s", op.OperationType, op.Status)
		}
		var err error
		if op, err = c.operation(op.Name); err != nil {
			t.Fatal(err)
		}
	}
	return op
}
