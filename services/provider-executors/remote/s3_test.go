package remote

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
)

func TestS3_ObjectAndManifestComeBack(t *testing.T) {
	t.Parallel()
	for _, more := range []string{"", "&prefix=team-a/"} {
		s := start(t)
		c := s.open(t, more)
		comesBack(t, c)
		all := s.stored(t)
		if want := "team-a/"; more != "" && strings.Count(all, want) != 2 {
			t.Errorf("with a prefix there is %s", all)
		}
		if n, err := c.Delete(t.Context()); err != nil || n <= copySize {
			t.Errorf("delete: %d bytes, %v", n, err)
		}
		if left := s.stored(t); left != "" {
			t.Errorf("left behind: %s", left)
		}
	}
}

func TestS3_ServerThatAnswers500AndRecovers_TheCopyIsWhole(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.open(t, "")
	var failed atomic.Int64
	var seen sync.Map
	s.broken(func(w http.ResponseWriter, r *http.Request) bool {
		if _, again := seen.LoadOrStore(r.Method+r.URL.String(), true); again || r.Method != http.MethodPut {
			return false
		}
		failed.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
		return true
	})
	data := noise(18 << 20)
	o, err := write(t.Context(), c, data)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := c.Extract(t.Context(), o, &got); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("extract: %d bytes of %d, %v", got.Len(), len(data), err)
	}
	if failed.Load() == 0 {
		t.Error("no request was failed")
	}
}

func TestS3_ServerThatStaysBroken_FailsRetryableAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.open(t, "")
	s.broken(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	_, err := write(t.Context(), c, noise(18<<20))
	wantFailure(t, err, events.ProviderUnavailable)
	if left := s.stored(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestS3_ConnectionCutInTheMiddleOfEveryPart_LeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.open(t, "")
	s.broken(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || r.ContentLength < 1<<20 {
			return false
		}
		_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
		panic(http.ErrAbortHandler)
	})
	_, err := write(t.Context(), c, noise(18<<20))
	wantFailure(t, err, events.ProviderUnavailable)
	if left := s.stored(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestS3_CancelDuringASlowUpload_LeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.open(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	s.broken(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || r.ContentLength < 1<<20 {
			return false
		}
		cancel()
		_, _ = io.Copy(io.Discard, r.Body) // ends when the client goes
		panic(http.ErrAbortHandler)
	})
	if _, err := write(ctx, c, noise(18<<20)); err == nil {
		t.Fatal("the cancelled upload ended well")
	}
	if left := s.stored(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestS3_SlowServer_TheCopyIsWhole(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.open(t, "")
	s.broken(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			<-time.After(100 * time.Millisecond)
		}
		return false
	})
	data := noise(18 << 20)
	o, err := write(t.Context(), c, data)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := c.Extract(t.Context(), o, &got); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("extract: %d bytes of %d, %v", got.Len(), len(data), err)
	}
}

func TestS3_UploadOfAKilledProcess_IsSweptByDelete(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.open(t, "&prefix=team-a/")
	_, prefix, _ := strings.Cut(c.Name(), ":")
	res, err := http.Post(s.URL+"/"+bucket+"/team-a/"+prefix+"dump.sql.zst?uploads", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if all := s.stored(t); !strings.Contains(all, "uploads:team-a/"+prefix) {
		t.Fatalf("no upload was begun: %s", all)
	}
	if _, err := c.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := s.stored(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestS3_FlippedByteAndMissingObject_AreTold(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.open(t, "")
	o, err := write(t.Context(), c, noise(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	_, prefix, _ := strings.Cut(c.Name(), ":")
	key := s.URL + "/" + bucket + "/" + prefix + o.Name
	damaged := noise(int(o.StoredBytes))
	req, err := http.NewRequest(http.MethodPut, key, bytes.NewReader(damaged))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	_, err = c.Extract(t.Context(), o, io.Discard)
	wantFailure(t, err, events.Corrupt)
	if req, err = http.NewRequest(http.MethodDelete, key, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	_, err = c.Extract(t.Context(), o, io.Discard)
	wantFailure(t, err, events.NotFound)
}

func TestOpen_BadURLsAndServers(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, url := range map[string]string{
		"no bucket":          "s3://?region=us-east-1",
		"a path":             "s3://backups/folder?region=us-east-1",
		"a credential":       "s3://key:secret@backups?region=us-east-1",
		"unknown parameter":  s.url("&colour=key:secret"),
		"no such bucket":     strings.Replace(s.url(""), "://"+bucket, "://absent", 1),
		"nobody listens":     "s3://backups?region=us-east-1&use_path_style=true&endpoint=http://127.0.0.1:1",
		"scheme not known":   "ftp://backups",
		"gcs without a name": "gs://",
	} {
		st, err := archive.Open(t.Context(), archive.Options{URLs: map[string]string{"main": url}, Openers: Openers()})
		if err == nil {
			_ = st.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if strings.Contains(err.Error(), "key:secret") {
			t.Errorf("%s: the error repeats the URL: %v", name, err)
		}
	}
}
