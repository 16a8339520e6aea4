package remote

import (
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"testing"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
)

// sink answers like an S3 server and keeps no object of parts.
func sink(t *testing.T) string {
	t.Helper()
	var small sync.Map
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls["PutObject"](r) {
			b, _ := io.ReadAll(r.Body)
			small.Store(r.URL.Path, b)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case r.Method == http.MethodGet && r.URL.Query().Has("uploads"):
			_, _ = io.WriteString(w, `<ListMultipartUploadsResult></ListMultipartUploadsResult>`)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			if b, there := small.Load(r.URL.Path); there {
				_, _ = w.Write(b.([]byte))
				return
			}
			w.WriteHeader(http.StatusNotFound)
		case calls["CreateMultipartUpload"](r):
			_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>`)
		case completes(r):
			_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>`)
		default:
			w.Header().Set("ETag", `"1"`)
		}
	}))
	t.Cleanup(s.Close)
	return "s3://" + bucket + "?region=us-east-1&use_path_style=true&endpoint=" + s.URL
}

// resident is about what the process has of the machine's memory.
func resident() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}

// peak stores so many bytes in S3 and tells the most memory that was used meanwhile.
func peak(t *testing.T, url string, size, expect int64) (most uint64) {
	t.Helper()
	debug.FreeOSMemory()
	r := rand.NewChaCha8([32]byte{1})
	block := make([]byte, 1<<20)
	_, err := opened(t, url).Write(t.Context(), archive.Stream{Name: "dump.sql", Expect: expect}, func(w io.Writer) error {
		for left := size; left > 0; left -= int64(len(block)) {
			_, _ = r.Read(block)
			if _, err := w.Write(block); err != nil {
				return err
			}
			most = max(most, resident())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return most
}

// What goes to S3 takes no more memory when it is ten times as much, and never more than 128 MiB, whatever size was
// expected, by which its parts are chosen. It does not run beside other tests.
func TestBackup_ToS3NeedsNoMoreForMore(t *testing.T) {
	url := sink(t)
	for name, expect := range map[string]int64{"smallest parts": 1 << 30, "unknown": 0, "large parts": 100 << 30} {
		var some, more uint64
		for range 5 { // a busy machine makes the collector lag, which only adds
			some, more = peak(t, url, 80<<20, expect), peak(t, url, 800<<20, expect)
			t.Logf("%s: %d MiB for 80 MiB, %d MiB for 800", name, some>>20, more>>20)
			if more <= 128<<20 && more <= some+32<<20 {
				break
			}
		}
		if more > 128<<20 || more > some+32<<20 {
			t.Errorf("%s: %d MiB were used for 800 MiB, %d for 80", name, more>>20, some>>20)
		}
	}
}
