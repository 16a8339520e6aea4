package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Verify implements executor.Verifier: the proof CHECKED once more, against the checksum of the record.
func (e *Executor) Verify(ctx context.Context, j executor.Job, r executor.Ref, want *events.Checksum) (int64, error) {
	c, m, err := e.find(ctx, r, want)
	if err != nil {
		return 0, err
	}
	if err := e.prove(ctx, c, m, scratchName(j)+"-verify", nil); err != nil {
		return 0, fmt.Errorf("verify %s: %w", j.BackupID, err)
	}
	return m.StoredBytes, nil
}

// find is the copy that r names, with a manifest that agrees with the record.
func (e *Executor) find(ctx context.Context, r executor.Ref, want *events.Checksum) (*archive.Copy, archive.Manifest, error) {
	c, err := e.storages.At(r)
	if err != nil {
		return nil, archive.Manifest{}, err
	}
	m, err := c.ReadManifest(ctx)
	if err != nil {
		return nil, archive.Manifest{}, err
	}
	if err := m.Matches(want); err != nil {
		return nil, archive.Manifest{}, err
	}
	if m.Engine != "sqlite" || m.Pages == nil || m.Pages.Count*m.Pages.Size != m.SourceBytes {
		return nil, archive.Manifest{}, &events.Failure{Code: events.Corrupt, Category: events.BySystem,
			Message: "the manifest of the copy is not that of an SQLite database: the copy cannot be used"}
	}
	return c, m, nil
}

// prove reads the object back, compares its checksum, unpacks it into a scratch folder and checks the
// database there; with rows it compares them too. The folder is gone afterwards.
func (e *Executor) prove(ctx context.Context, c *archive.Copy, m archive.Manifest, name string, rows map[string]int64) (err error) {
	dir, err := e.scratch.make(name, m.SourceBytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.remove()) }()
	file := dir.file("copy.sqlite")
	if err := unpack(ctx, c, m, file, spaceOfScratch); err != nil {
		return err
	}
	return checkFile(ctx, file, m, rows)
}

// unpack extracts the copy into a new file for this user alone.
func unpack(ctx context.Context, c *archive.Copy, m archive.Manifest, file string, where place) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return where.failure(err)
	}
	_, err = c.Extract(ctx, m, whole{f, where})
	if err == nil {
		if err = f.Sync(); err != nil {
			err = where.failure(err)
		}
	}
	if cerr := f.Close(); err == nil && cerr != nil {
		err = where.failure(cerr)
	}
	return err
}

// whole gives the errors of a file their failure.
type whole struct {
	f     *os.File
	where place
}

func (w whole) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		return n, w.where.failure(err)
	}
	return n, nil
}

// checkFile proves an unpacked copy that nobody else uses.
func checkFile(ctx context.Context, file string, m archive.Manifest, rows map[string]int64) error {
	db, err := private(ctx, file)
	if err != nil {
		return copyFailure(err)
	}
	defer db.Close()
	pages, err := db.number(ctx, "PRAGMA page_count")
	if err != nil {
		return copyFailure(err)
	}
	if pages != m.Pages.Count {
		return damaged(fmt.Errorf("%d pages and not %d", pages, m.Pages.Count))
	}
	// The check tells at most ten defects; its text may name tables and goes to the log only.
	said, err := db.strings(ctx, "PRAGMA main.integrity_check(10)")
	if err != nil {
		return copyFailure(err)
	}
	if len(said) != 1 || said[0] != "ok" {
		return damaged(fmt.Errorf("integrity_check: %q", said))
	}
	if rows == nil {
		return nil
	}
	if err := sameRows(ctx, db, rows); err != nil {
		return copyFailure(err)
	}
	return nil
}
