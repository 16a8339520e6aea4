package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Verify implements executor.Verifier: the proof once more, against the checksum of the record. Of further
// copies the bytes are compared, which are those that were proven, also if the first is gone.
func (x *Executor) Verify(ctx context.Context, j executor.Job, r executor.Ref, want *events.Checksum, to events.Proof) (lifecycle.Checked, error) {
	var found lifecycle.Checked
	c, m, err := x.ours(ctx, r, want)
	if err == nil {
		want = m.Checksum()
		found, err = x.proven(ctx, to, c, m, scratchName(j)+"-verify")
	}
	further, n, ferr := x.checkFurther(ctx, r, want)
	found.Bytes += n
	found.Evidence.Copies += further.Copies
	found.Evidence.Objects = max(found.Evidence.Objects, further.Objects)
	if err := errors.Join(err, ferr); err != nil {
		return found, fmt.Errorf("verify %s: %w", j.BackupID, err)
	}
	return found, nil
}

// proven reads a copy to the level of a proof and says what it has seen.
func (x *Executor) proven(ctx context.Context, to events.Proof, c *archive.Copy, m archive.Manifest, folder string) (found lifecycle.Checked, err error) {
	if to == events.ProofStored {
		if found.Bytes, err = c.Check(ctx, m); err == nil {
			found.Evidence = events.Evidence{Copies: 1, Objects: len(m.Objects)}
		}
		return found, err
	}
	r := x.reading(c, folder)
	defer func() { err = errors.Join(err, r.close()) }()
	loaded, err := x.engine.Prove(ctx, to, Copy{m, r})
	for _, o := range m.Objects {
		if r.whole[o.Name] {
			found.Evidence.Objects++
			found.Bytes += o.StoredBytes
		} else if err == nil {
			err = fmt.Errorf("the proof of %s left out %s", m.BackupID, o.Name)
		}
	}
	found.Evidence.Tables, found.Evidence.Rows, found.Evidence.RowChecksums = loaded.Tables, loaded.Rows, loaded.Checksums
	if err == nil {
		found.Evidence.Copies = 1
	}
	return found, err
}

// Restore implements executor.Restorer. Every object is compared with its checksum before the target is
// touched. Where the copy in the instance's storage is gone or damaged, a further one is taken.
func (x *Executor) Restore(ctx context.Context, j executor.RestoreJob) (int64, error) {
	p := &pace{report: j.Report, now: x.Now}
	if p.report == nil {
		p.report = func(executor.Progress) {}
	}
	p.tell(events.Preparing)
	ctx = executor.WithAlive(ctx, p.alive)
	c, m, err := x.Usable(ctx, j.Source, j.Checksum)
	if err == nil {
		err = x.refuseOthers(m)
	}
	if err != nil {
		return 0, err
	}
	p.expect(m.SourceBytes())
	p.elsewhere()
	r := x.reading(c, scratchPrefix+j.RestoreID)
	r.pace = p
	err = x.engine.Restore(ctx, j, Copy{m, r})
	if err = errors.Join(err, r.close()); err != nil {
		return 0, fmt.Errorf("restore %s: %w", j.RestoreID, err)
	}
	var n int64
	for _, o := range m.Objects {
		if r.whole[o.Name] {
			n += o.SourceBytes
		}
	}
	return n, nil
}

// RecoverRestore implements executor.RestoreRecoverer.
func (x *Executor) RecoverRestore(ctx context.Context, j executor.RestoreJob) error {
	return errors.Join(x.Scratch.clear(scratchPrefix+j.RestoreID), x.engine.RecoverRestore(ctx, j))
}

// ours is find for a copy of this provider.
func (x *Executor) ours(ctx context.Context, r executor.Ref, want *events.Checksum) (*archive.Copy, archive.Manifest, error) {
	c, m, err := x.find(ctx, r, want)
	if err == nil {
		err = x.refuseOthers(m)
	}
	return c, m, err
}

func (x *Executor) refuseOthers(m archive.Manifest) error {
	if m.Provider != x.provider {
		return &events.Failure{Code: events.Corrupt, Category: events.BySystem,
			Message: "the manifest of the copy is that of another provider's: the copy cannot be used"}
	}
	return nil
}

func (x *Executor) reading(c *archive.Copy, folder string) *reading {
	return &reading{from: c, scratch: x.Scratch, name: folder, whole: map[string]bool{}}
}
