package remote

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"

	"github.com/backupbus/backupbus/events"
)

// startGCS is start for Google Cloud Storage.
func startGCS(t *testing.T) *gcs {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener: true, Scheme: "http", Host: "127.0.0.1", ExternalURL: "http://" + l.Addr().String(), PublicHost: l.Addr().String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Stop)
	fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: bucket})
	g := &gcs{fake: fake}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := g.fault.Load(); f != nil && (*f)(w, r) {
			return
		}
		fake.HTTPHandler().ServeHTTP(w, r)
	}))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	t.Setenv("STORAGE_EMULATOR_HOST", l.Addr().String())
	return g
}

// gcs is a server with faults in front of it.
type gcs struct {
	fake  *fakestorage.Server
	fault atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // true: it has answered
}

func (g *gcs) broken(f func(http.ResponseWriter, *http.Request) bool) { g.fault.Store(&f) }

func (g *gcs) stored(t *testing.T) (names []string) {
	t.Helper()
	all, err := g.fake.ListObjectsWithOptionsPaginated(bucket, fakestorage.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all.Objects {
		names = append(names, o.Name)
	}
	return names
}

func TestGCS_ObjectAndManifestComeBack(t *testing.T) {
	for _, more := range []string{"", "&prefix=team-a/"} {
		g := startGCS(t)
		c := opened(t, "gs://"+bucket+"?anonymous=true"+more)
		comesBack(t, c)
		all := g.stored(t)
		if len(all) != 2 || more != "" && !strings.HasPrefix(all[0], "team-a/") {
			t.Errorf("with %q there is %q", more, all)
		}
		if _, err := c.Delete(t.Context()); err != nil {
			t.Error(err)
		}
		if left := g.stored(t); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

func TestGCS_CancelDuringAnUpload_LeavesNothing(t *testing.T) {
	g := startGCS(t)
	c := opened(t, "gs://"+bucket+"?anonymous=true")
	ctx, cancel := context.WithCancel(t.Context())
	g.broken(func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/upload/") {
			return false
		}
		cancel()
		_, _ = io.Copy(io.Discard, r.Body) // ends when the client goes
		panic(http.ErrAbortHandler)
	})
	if _, err := write(ctx, c, noise(40<<20)); err == nil {
		t.Fatal("the cancelled upload ended well")
	}
	if left := g.stored(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestGCS_ThatRefuses_FailsAndLeavesNothing(t *testing.T) {
	g := startGCS(t)
	c := opened(t, "gs://"+bucket+"?anonymous=true")
	g.broken(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/upload/") {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	_, err := write(t.Context(), c, noise(18<<20))
	wantFailure(t, err, events.PermissionDenied)
	if left := g.stored(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Google answers 403 for an object that its retention policy keeps: it is there, and the deletion has failed.
func TestGCS_ThatKeepsAnObject_DeletionFails(t *testing.T) {
	g := startGCS(t)
	c := opened(t, "gs://"+bucket+"?anonymous=true")
	comesBack(t, c)
	g.broken(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodDelete {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	_, err := c.Delete(t.Context())
	wantFailure(t, err, events.PermissionDenied)
	if there, err := c.Remains(t.Context()); err != nil || !there {
		t.Errorf("remains %v, %v", there, err)
	}
}

// Nor is a copy gone because it may not be read.
func TestGCS_ThatMayNotBeRead_IsNotGone(t *testing.T) {
	g := startGCS(t)
	c := opened(t, "gs://"+bucket+"?anonymous=true")
	comesBack(t, c)
	m, err := c.ReadManifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g.broken(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	_, err = c.ReadManifest(t.Context())
	wantFailure(t, err, events.PermissionDenied)
	_, err = c.Complete(t.Context(), m)
	wantFailure(t, err, events.PermissionDenied)
	wantFailure(t, c.RefuseFinished(t.Context()), events.PermissionDenied)
}
