package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

const (
	object      = "data.sqlite.zst"
	restoreLine = "zstd -dc " + object + " > restored.sqlite"

	kindPhysical = "PHYSICAL"

	// cleanupTime bounds the removal of what an attempt left, which goes on when it was cancelled.
	cleanupTime = time.Minute
)

// backUp is one attempt from the first page to the manifest. On any error nothing of it remains.
func (e *Executor) backUp(ctx context.Context, j executor.Job, report func(executor.Progress)) (lifecycle.Outcome, error) {
	report = e.watched(ctx, j, report)
	start := e.now()
	file, err := e.source(j.Config.File)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	c, err := e.storages.Of(j)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	s, err := e.begin(ctx, file)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	defer s.Close()
	stored, err := e.store(ctx, c, s, j, file, report)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	returned := false
	defer func() {
		if !returned { // a panic
			_ = e.abandon(ctx, c)
		}
	}()
	o, err := e.finish(ctx, c, s, j, stored, start, report)
	returned = true
	if err != nil {
		return lifecycle.Outcome{}, errors.Join(err, e.abandon(ctx, c))
	}
	return o, nil
}

// store streams the snapshot into the object and ends the read transaction, so that the proof holds
// nobody up.
func (e *Executor) store(ctx context.Context, c *archive.Copy, s *snapshot, j executor.Job, file string,
	report func(executor.Progress)) (archive.Stored, error) {
	defer s.Close()
	report(executor.Progress{Phase: events.Copying, BytesTotal: s.bytes()})
	return c.Write(ctx, object, func(w io.Writer) error {
		err := s.stream(ctx, w, report)
		if err == nil && j.Proof == events.ProofRestored {
			s.rows, err = countRows(ctx, s.db)
		}
		return copyError(file, err)
	})
}

// finish proves the object and writes the manifest.
func (e *Executor) finish(ctx context.Context, c *archive.Copy, s *snapshot, j executor.Job, stored archive.Stored,
	start time.Time, report func(executor.Progress)) (lifecycle.Outcome, error) {
	report(executor.Progress{Phase: events.Finalizing, BytesDone: s.bytes(), BytesTotal: s.bytes()})
	if err := e.bigEnough(j, stored); err != nil {
		return lifecycle.Outcome{}, err
	}
	m := e.manifest(s, j, stored, start)
	if m.Proof != events.ProofStored {
		if err := e.prove(ctx, c, m, scratchName(j), s.rows); err != nil {
			return lifecycle.Outcome{}, fmt.Errorf("prove the copy: %w", err)
		}
	}
	m.EndTime = events.At(e.now())
	if err := c.WriteManifest(ctx, m); err != nil {
		return lifecycle.Outcome{}, err
	}
	ref := executor.LocalRef(j)
	ref.BackupName = c.Name()
	return lifecycle.Outcome{
		Proof: m.Proof, SizeBytes: m.StoredBytes, Kind: kindPhysical, EngineVersion: m.EngineVersion,
		Checksum:        &events.Checksum{Algorithm: "sha256", Value: m.SHA256},
		ConsistencyTime: s.taken, Encryption: &events.Encryption{Type: "NONE"}, Ref: &ref,
	}, nil
}

func (e *Executor) manifest(s *snapshot, j executor.Job, stored archive.Stored, start time.Time) archive.Manifest {
	m := archive.Manifest{
		BackupID: j.BackupID, Attempt: j.Attempt, Project: j.Project, Instance: j.Instance, Provider: Provider,
		Engine: "sqlite", EngineVersion: s.version, Tool: tool,
		Object: object, StoredBytes: stored.Size, SHA256: stored.SHA256, SourceBytes: stored.Source, Compression: archive.Zstd,
		Proof: j.Proof, StartTime: events.At(start), ConsistencyTime: events.At(s.taken),
		Pages: &archive.Pages{Count: s.pages, Size: s.pageSize}, Restore: restoreLine,
	}
	if m.Proof == "" {
		m.Proof = events.ProofChecked
	}
	if m.EngineVersion == "" { // an empty database, or one written before 3.7
		m.EngineVersion = j.Config.EngineVersion
	}
	return m
}

// bigEnough is Config.MinSizeRatio.
func (e *Executor) bigEnough(j executor.Job, stored archive.Stored) error {
	if floor := e.config.MinSizeRatio * float64(j.LastSize); float64(stored.Size) < floor {
		return &events.Failure{Code: events.Corrupt, Category: events.ByUser, Message: fmt.Sprintf(
			"the copy has %d bytes and the last good one had %d: look whether the database was emptied; if it is right, lower the size ratio of the executor for one backup",
			stored.Size, j.LastSize)}
	}
	return nil
}

// abandon removes a stored object without manifest, also when ctx has ended.
func (e *Executor) abandon(ctx context.Context, c *archive.Copy) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	_, err := c.Delete(ctx)
	return err
}

func (e *Executor) watched(ctx context.Context, j executor.Job, report func(executor.Progress)) func(executor.Progress) {
	if e.reported == nil {
		return report
	}
	return func(p executor.Progress) {
		report(p)
		e.reported(ctx, j, p)
	}
}
