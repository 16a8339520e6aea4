package remote

import (
	"io"
	"net/http"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// A further copy goes from a folder to an S3 server that cuts every connection, and then to the same that is well.
func TestS3_FurtherCopy(t *testing.T) {
	t.Parallel()
	s := start(t)
	st, err := archive.Open(t.Context(), archive.Options{Openers: Openers(),
		URLs: map[string]string{"near": "file://" + t.TempDir(), "far": s.url("")}})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	j := executor.Job{BackupID: "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa", Attempt: 1, Project: "shop", Instance: "orders"}
	j.Config.Storage = "near"
	near, err := st.Of(j)
	if err != nil {
		t.Fatal(err)
	}
	further, err := st.Further(executor.Ref{BackupName: near.Name()}, []string{"far", "near", "far"})
	if err != nil || len(further) != 1 {
		t.Fatalf("%d further places: %v", len(further), err)
	}
	far := further[0]
	o, err := write(t.Context(), near, noise(18<<20))
	if err != nil {
		t.Fatal(err)
	}
	m := archive.Manifest{BackupID: j.BackupID, Attempt: 1, Objects: []archive.Object{o}, Proof: events.ProofStored}
	if err := near.WriteManifest(t.Context(), m); err != nil {
		t.Fatal(err)
	}

	s.broken(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || r.ContentLength < 1<<20 {
			return false
		}
		_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
		panic(http.ErrAbortHandler)
	})
	wantFailure(t, near.CopyTo(t.Context(), far, m), events.ProviderUnavailable)
	s.broken(nil)
	if _, err := far.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := s.stored(t); left != "" {
		t.Errorf("left behind: %s", left)
	}

	if err := near.CopyTo(t.Context(), far, m); err != nil {
		t.Fatal(err)
	}
	if n, err := far.Check(t.Context(), m); err != nil || n != o.StoredBytes {
		t.Errorf("%d bytes, %v", n, err)
	}
	if whole, err := far.Complete(t.Context(), m); err != nil || !whole {
		t.Errorf("complete %v, %v", whole, err)
	}
}
