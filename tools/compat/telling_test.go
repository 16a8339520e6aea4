package compat

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bus/commandtest"
	"github.com/backupbus/backupbus/tools/backupbus/up"
)

// startTelling runs all of backupbus in this process, open to NATS clients. It returns the addresses of its API and
// of NATS.
func startTelling(t *testing.T) (server, nats string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan string, 1), make(chan error, 1)
	o := up.Options{Data: t.TempDir(), Listen: "127.0.0.1:0", NATS: "127.0.0.1:0", LogWriter: log, OnNATS: func(url string) { nats = url }}
	go func() { done <- up.Run(ctx, o, func(url string) { ready <- url }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("up: %v", err)
		}
		_ = log.Close()
	})
	select {
	case server = <-ready:
	case err := <-done:
		done <- nil
		t.Fatalf("up: %v", err)
	case <-time.After(patience):
		t.Fatal("up is not ready")
	}
	return server, nats
}

// consumer makes a durable consumer of project acme from the oldest event on.
func consumer(t *testing.T, nats, name string) {
	t.Helper()
	b, err := bus.Connect(t.Context(), bus.Config{URL: nats})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	filter, err := bus.ConsumerFilter("acme", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.CreateConsumer(t.Context(), bus.ConsumerConfig{Name: name, Filter: filter, Beginning: true}); err != nil {
		t.Fatal(err)
	}
}

// backUp asks for a backup.
func backUp(t *testing.T, server, instance string) {
	t.Helper()
	resp, err := http.Post(server+"/api/v1/projects/acme/backups", "application/json", strings.NewReader(fmt.Sprintf(`{"instance":%q}`, instance)))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("backup: %s", resp.Status)
	}
}

// page is what the event API has of project acme, in the order of the log.
func page[T any](t *testing.T, server string) (all []T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server+"/api/v1/projects/acme/events?limit=1000", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/cloudevents-batch+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// told are the ids of the stored events.
func told(t *testing.T, server string) []string {
	t.Helper()
	var ids []string
	for _, e := range page[struct{ ID string }](t, server) {
		ids = append(ids, e.ID)
	}
	return ids
}

// The NATS client for Node reads a consumer and publishes a command whose outcome it hears (R5).
func TestNATS_NodeClient(t *testing.T) {
	t.Parallel()
	server, nats := startTelling(t)
	register(t, server, "orders")
	consumer(t, nats, "warehouse")
	runs(t, "consumer.mjs", nats, "warehouse")
}

// The CloudEvents SDKs for JavaScript and Go read what is told.
func TestCloudEvents_SDKs(t *testing.T) {
	t.Parallel()
	server, nats := startTelling(t)
	register(t, server, "orders")
	consumer(t, nats, "auditor")
	backUp(t, server, "orders")
	read := commandtest.Dial(t, nats).Events("auditor", 4)
	var ids []string
	for _, ev := range read {
		ids = append(ids, ev.ID())
		if !strings.HasPrefix(ev.Type(), "dev.backupbus.") || ev.DataContentType() != "application/json" || ev.Extensions()["project"] != "acme" ||
			ev.Extensions()["sequence"] == nil || !json.Valid(ev.Data()) {
			t.Errorf("%s", ev)
		}
	}
	if all := told(t, server); len(all) < len(ids) || !slices.Equal(all[:len(ids)], ids) {
		t.Errorf("read %v, told %v", ids, all)
	}
	runs(t, "cloudevents.mjs", server+"/api/v1/projects/acme/events")
}

// The npm package eventsource follows the stream, is cut twice and goes on without loss or repeat (L1).
func TestStream_NodeEventSource(t *testing.T) {
	t.Parallel()
	server, _ := startTelling(t)
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	line := startLine(t, target.Host)
	register(t, server, "orders")
	cmd := script(t, "stream.mjs", "http://"+line.addr()+"/api/v1/projects/acme/events?since=2020-01-01T00:00:00Z", "dev.backupbus.backup.succeeded.v1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		_, id, _ := strings.Cut(lines.Text(), " ")
		got = append(got, id)
		switch len(got) {
		case 1: // what happens while the client is away reaches it afterwards
			line.cut()
			register(t, server, "invoices")
			register(t, server, "stock")
		case 3:
			line.cut()
			backUp(t, server, "orders")
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	want := told(t, server)
	if len(want) < 6 || !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if line.count() < 3 {
		t.Errorf("%d connections: the stream was not cut twice", line.count())
	}
}
