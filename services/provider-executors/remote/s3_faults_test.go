package remote

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
)

// faultSize is several parts of an upload.
const faultSize = 18 << 20

// calls are the requests that storing a copy is made of.
var calls = map[string]func(*http.Request) bool{
	"CreateMultipartUpload":   func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploads") },
	"UploadPart":              func(r *http.Request) bool { return r.Method == http.MethodPut && r.URL.Query().Has("partNumber") },
	"CompleteMultipartUpload": completes,
	"PutObject":               func(r *http.Request) bool { return r.Method == http.MethodPut && !r.URL.Query().Has("uploadId") }, // the manifest
}

func completes(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}
func aborts(r *http.Request) bool {
	return r.Method == http.MethodDelete && r.URL.Query().Has("uploadId")
}

// broken500 is what an S3 server answers that is broken; with 200 it is how CompleteMultipartUpload may fail late.
func broken500(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>`)
}

// store stores a copy of several parts, and its manifest.
func store(t *testing.T, c *archive.Copy) (archive.Object, error) {
	t.Helper()
	o, err := write(t.Context(), c, noise(faultSize))
	if err == nil {
		err = c.WriteManifest(t.Context(), archive.Manifest{BackupID: "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa", Attempt: 1, Objects: []archive.Object{o}})
	}
	return o, err
}

// wantWhole reads a copy back.
func wantWhole(t *testing.T, c *archive.Copy, o archive.Object) {
	t.Helper()
	var got bytes.Buffer
	if _, err := c.Extract(t.Context(), o, &got); err != nil || !bytes.Equal(got.Bytes(), noise(faultSize)) {
		t.Errorf("read back: %d bytes, %v", got.Len(), err)
	}
}

func TestS3_EveryCall_Answers500ThenRecovers_TheCopyIsWhole(t *testing.T) {
	t.Parallel()
	for name, is := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			c := s.open(t, "")
			var failed atomic.Int64
			s.broken(func(w http.ResponseWriter, r *http.Request) bool {
				if !is(r) || failed.Add(1) > 2 {
					return false
				}
				broken500(w, http.StatusInternalServerError)
				return true
			})
			o, err := store(t, c)
			if err != nil {
				t.Fatal(err)
			}
			if failed.Load() < 3 {
				t.Errorf("%d requests, of which two were to fail", failed.Load())
			}
			wantWhole(t, c, o)
		})
	}
}

func TestS3_EveryCall_StaysBroken_FailsRetryableAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, is := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			c := s.open(t, "")
			s.broken(func(w http.ResponseWriter, r *http.Request) bool {
				if !is(r) {
					return false
				}
				broken500(w, http.StatusInternalServerError)
				return true
			})
			_, err := store(t, c)
			wantFailure(t, err, events.ProviderUnavailable)
			if name == "PutObject" { // the manifest alone: who wrote the copy takes it away
				if _, err := c.ReadManifest(t.Context()); err == nil {
					t.Error("there is a manifest")
				}
				if _, err := c.Delete(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if left := s.stored(t); left != "" {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

// S3 may answer CompleteMultipartUpload with 200 and tell of an error in the body.
func TestS3_UploadThatEndsIn200WithAnError_FailsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.open(t, "")
	s.broken(func(w http.ResponseWriter, r *http.Request) bool {
		if completes(r) {
			broken500(w, http.StatusOK)
		}
		return completes(r)
	})
	_, err := store(t, c)
	wantFailure(t, err, events.ProviderUnavailable)
	if left := s.stored(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// The object is there, but the answer that says so never comes: the repeat finds no upload. Either the copy is whole, or
// the attempt has failed and nothing is left.
func TestS3_AnswerToTheLastCallIsLost_WholeOrNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.open(t, "")
	var lost atomic.Int64
	s.broken(func(_ http.ResponseWriter, r *http.Request) bool {
		if !completes(r) || lost.Add(1) > 1 {
			return false
		}
		done := httptest.NewRecorder()
		s.real.ServeHTTP(done, r)
		if done.Code != http.StatusOK {
			t.Errorf("completed with %d", done.Code)
		}
		panic(http.ErrAbortHandler)
	})
	o, err := store(t, c)
	if lost.Load() < 2 {
		t.Errorf("asked %d times to complete", lost.Load())
	}
	if err == nil {
		wantWhole(t, c, o)
		return
	}
	if left := s.stored(t); left != "" {
		t.Errorf("%v, but left behind: %s", err, left)
	}
}

// The upload cannot even be ended: the failure is told, and the parts go when the attempt's copy is deleted.
func TestS3_AbortFailsToo_DeleteSweepsTheUpload(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.open(t, "")
	s.broken(func(w http.ResponseWriter, r *http.Request) bool {
		bad := calls["UploadPart"](r) || aborts(r)
		if bad {
			broken500(w, http.StatusInternalServerError)
		}
		return bad
	})
	_, err := store(t, c)
	wantFailure(t, err, events.ProviderUnavailable)
	if left := s.stored(t); !strings.HasPrefix(left, "uploads:") {
		t.Fatalf("there should be an upload, not %q", left)
	}
	if _, err := c.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := s.stored(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
