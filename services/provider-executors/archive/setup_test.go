package archive

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// The object of the tests, and what Write is told.
const object = "data.zst"

var part = Stream{Name: "data"}

func job(attempt int) executor.Job {
	return executor.Job{BackupID: "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa", Attempt: attempt, Project: "shop", Instance: "a/b.c"}
}

func setup(t *testing.T) (*Copy, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "new", "store")
	return opened(t, dir), dir
}

func opened(t *testing.T, dir string) *Copy {
	t.Helper()
	s, err := Open(t.Context(), Options{URLs: map[string]string{"main": "file://" + dir}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := s.Of(job(1))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stored writes an object and its manifest.
func stored(t *testing.T, c *Copy, data []byte) Manifest {
	t.Helper()
	st, err := c.Write(t.Context(), part, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	m := Manifest{BackupID: job(1).BackupID, Attempt: 1, Objects: []Object{st}, Proof: events.ProofStored}
	if err := c.WriteManifest(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	m.Version = manifestVersion
	return m
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			all = append(all, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantCode(t *testing.T, err error, want events.Code) {
	t.Helper()
	var f *events.Failure
	if !errors.As(err, &f) || f.Code != want || f.Message == "" {
		t.Fatalf("want %s, got %v", want, err)
	}
}
