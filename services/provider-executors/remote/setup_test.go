package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

const bucket = "backups"

// server is an S3 server with faults in front of it.
type server struct {
	*httptest.Server
	fault    atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // true: it has answered
	requests atomic.Int64
	real     http.Handler // the server without faults
}

// TestMain gives the SDK its credentials: what it finds of others on the machine must play no part.
func TestMain(m *testing.M) {
	for name, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test-access", "AWS_SECRET_ACCESS_KEY": canary, "AWS_CONFIG_FILE": "/nonexistent",
		"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, v); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func start(t *testing.T) *server {
	t.Helper()
	mem := s3mem.New()
	if err := mem.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	s := &server{real: gofakes3.New(mem).Server()}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if f := s.fault.Load(); f != nil && (*f)(w, r) {
			return
		}
		s.real.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// canary is the secret of the tests: it must be nowhere but in a signature.
const canary = "secret-of-the-storage-" + executortest.Canary

// broken sets what happens to requests; nil: nothing.
func (s *server) broken(f func(http.ResponseWriter, *http.Request) bool) {
	if f == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&f)
}

func (s *server) url(more string) string {
	return "s3://" + bucket + "?region=us-east-1&use_path_style=true&endpoint=" + s.URL + more
}

func (s *server) open(t *testing.T, more string) *archive.Copy {
	t.Helper()
	return opened(t, s.url(more))
}

// opened is a copy in a storage.
func opened(t *testing.T, url string) *archive.Copy {
	t.Helper()
	st, err := archive.Open(t.Context(), archive.Options{URLs: map[string]string{"main": url}, Openers: Openers()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := st.Of(executor.Job{BackupID: "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa", Attempt: 1, Project: "shop", Instance: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stored lists the server's objects and its unfinished uploads, as the S3 API tells them.
func (s *server) stored(t *testing.T) string {
	t.Helper()
	s.broken(nil)
	var all strings.Builder
	for _, what := range []string{"?list-type=2", "?uploads"} {
		res, err := http.Get(s.URL + "/" + bucket + what)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		for _, part := range strings.Split(string(b), "<Key>")[1:] {
			key, _, _ := strings.Cut(part, "<")
			all.WriteString(strings.TrimPrefix(what, "?") + ":" + key + "\n")
		}
	}
	return all.String()
}

// noise is data that does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func write(ctx context.Context, c *archive.Copy, data []byte) (archive.Object, error) {
	return c.Write(ctx, archive.Stream{Name: "dump.sql"}, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(data))
		return err
	})
}

func wantFailure(t *testing.T, err error, code events.Code) {
	t.Helper()
	var f *events.Failure
	if !errors.As(err, &f) || f.Code != code {
		t.Fatalf("want %s, got %v", code, err)
	}
	executortest.WantCode(t, err, code)
	if strings.Contains(f.Message, "127.0.0.1") {
		t.Errorf("the failure tells too much: %v", err)
	}
}

// copySize is several parts, blocks or chunks of an upload.
const copySize = 21 << 20

// comesBack stores a copy with its manifest, and reads it.
func comesBack(t *testing.T, c *archive.Copy) {
	t.Helper()
	data := noise(copySize)
	o, err := write(t.Context(), c, data)
	if err != nil {
		t.Fatal(err)
	}
	m := archive.Manifest{BackupID: "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa", Attempt: 1, Objects: []archive.Object{o}}
	if err := c.WriteManifest(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if m, err = c.ReadManifest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Check(t.Context(), m); err != nil || n != o.StoredBytes {
		t.Errorf("check: %d bytes, %v", n, err)
	}
	var got bytes.Buffer
	if _, err := c.Extract(t.Context(), m.Objects[0], &got); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("extract: %d bytes of %d, %v", got.Len(), len(data), err)
	}
}
