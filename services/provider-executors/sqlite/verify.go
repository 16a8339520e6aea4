package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
)

var spaceOfScratch = engine.Place{Name: "the scratch folder of the executor", Full: "it needs as much free space as the database has bytes: free space there, or ask for proof STORED"}

// Prove implements engine.Engine. Each object is unpacked into the scratch folder and checked there; under
// RESTORED the rows of its tables are compared with those of the source too.
func (e *Engine) Prove(ctx context.Context, level events.Proof, c engine.Copy) (engine.Loaded, error) {
	var loaded engine.Loaded
	summed := 0
	if err := ours(c.Manifest); err != nil {
		return loaded, err
	}
	var largest int64
	for _, o := range c.Manifest.Objects {
		largest = max(largest, o.SourceBytes)
	}
	dir, err := c.Scratch(largest)
	if err != nil {
		return loaded, err
	}
	for _, o := range c.Manifest.Objects {
		var want counted
		if level == events.ProofRestored {
			want = counted{o.Tables, o.Checksums}
		}
		if err := prove(ctx, c, o, filepath.Join(dir, "copy.sqlite"), want); err != nil {
			return engine.Loaded{}, err
		}
		for _, n := range want.rows {
			loaded.Tables, loaded.Rows = loaded.Tables+1, loaded.Rows+n
		}
		summed += len(want.sums)
	}
	loaded.Checksums = summed > 0 && int64(summed) == loaded.Tables
	return loaded, nil
}

func prove(ctx context.Context, c engine.Copy, o archive.Object, file string, want counted) error {
	if err := unpack(ctx, c, o, file, spaceOfScratch); err != nil {
		return err
	}
	if err := checkFile(ctx, file, o, want); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil {
		return spaceOfScratch.Failure(err)
	}
	return nil
}

// ours refuses a manifest that is not that of SQLite databases.
func ours(m archive.Manifest) error {
	for _, o := range m.Objects {
		if o.Pages == nil || o.Pages.Count*o.Pages.Size != o.SourceBytes {
			return &events.Failure{Code: events.Corrupt, Category: events.BySystem,
				Message: "the manifest of the copy is not that of an SQLite database: the copy cannot be used"}
		}
	}
	return nil
}

// unpack extracts an object into a new file for this user alone.
func unpack(ctx context.Context, c engine.Copy, o archive.Object, file string, where engine.Place) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return where.Failure(err)
	}
	err = c.Unpack(ctx, o, whole{f, where})
	if err == nil {
		if err = f.Sync(); err != nil {
			err = where.Failure(err)
		}
	}
	if cerr := f.Close(); err == nil && cerr != nil {
		err = where.Failure(cerr)
	}
	return err
}

// whole gives the errors of a file their failure.
type whole struct {
	f     *os.File
	where engine.Place
}

func (w whole) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		return n, w.where.Failure(err)
	}
	return n, nil
}

func integrity(ctx context.Context, db *database) ([]string, error) {
	defer engine.Living(engine.Alive(ctx))() // it says nothing before its end
	return db.strings(ctx, "PRAGMA main.integrity_check(10)")
}

// checkFile proves an unpacked copy that nobody else uses.
func checkFile(ctx context.Context, file string, o archive.Object, want counted) error {
	db, err := private(ctx, file)
	if err != nil {
		return copyFailure(err)
	}
	defer db.Close()
	pages, err := db.number(ctx, "PRAGMA page_count")
	if err != nil {
		return copyFailure(err)
	}
	if pages != o.Pages.Count {
		return damaged(fmt.Errorf("%d pages and not %d", pages, o.Pages.Count))
	}
	// The check tells at most ten defects; its text may name tables and goes to the log only.
	said, err := integrity(ctx, db)
	if err != nil {
		return copyFailure(err)
	}
	if len(said) != 1 || said[0] != "ok" {
		return damaged(fmt.Errorf("integrity_check: %q", said))
	}
	if want.rows == nil {
		return nil
	}
	if err := sameRows(ctx, db, want); err != nil {
		return copyFailure(err)
	}
	return nil
}
