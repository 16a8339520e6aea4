package compat

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/backupbus/backupbus/tools/backupbus/up"
)

const patience = 60 * time.Second

// startUp runs all of backupbus in this process and returns its address.
func startUp(t *testing.T) string {
	t.Helper()
	return startUpWith(t, "")
}

// startUpWith is startUp with a file of settings; none if it is empty.
func startUpWith(t *testing.T, settings string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan string, 1), make(chan error, 1)
	data := t.TempDir()
	go func() {
		done <- up.Run(ctx, up.Options{Data: data, Settings: settings, Listen: "127.0.0.1:0", LogWriter: log}, func(url string) { ready <- url })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("up: %v", err)
		}
		_ = log.Close()
	})
	select {
	case addr := <-ready:
		return addr
	case err := <-done:
		done <- nil
		t.Fatalf("up: %v", err)
	case <-time.After(patience):
		t.Fatal("up is not ready")
	}
	return ""
}

// missing ends a test whose tool is not on the machine: skipped, and failed where everything has to be tested.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("BACKUPBUS_REQUIRE_SERVERS") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// register makes a SQLite database, makes it known, and gives its file.
func register(t *testing.T, server, instance string) string {
	t.Helper()
	return registerBy(t, http.DefaultClient, server, instance)
}

// ownToken is granted everything in tests whose server asks who is there.
const ownToken = "own-token-0123456789"

// holder is a client that sends a token with every request.
func holder(token string) *http.Client { return &http.Client{Transport: bearer(token)} }

type bearer string

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(req)
}

func registerBy(t *testing.T, client *http.Client, server, instance string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), instance+".db")
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"provider":"sqlite","instance":%q,"config":{"engine":"sqlite","region":"eu","file":%q}}`, instance, file)
	resp, err := client.Post(server+"/api/v1/projects/acme/instances", "application/json", bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("register %s: %s", instance, resp.Status)
	}
	return file
}

// recorder notes the requests that a client makes.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.seen = append(r.seen, req.Method+" "+req.URL.Path)
	r.mu.Unlock()
	return http.DefaultTransport.RoundTrip(req)
}

var ids = regexp.MustCompile(`/(backupRuns|operations)/[^/]+$`)

// shapes are the distinct requests so far, sorted, with ID for ids.
func (r *recorder) shapes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	for _, s := range r.seen {
		seen[ids.ReplaceAllString(s, "/$1/ID")] = true
	}
	return slices.Sorted(maps.Keys(seen))
}
