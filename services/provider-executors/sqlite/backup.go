package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// source is the databases of one attempt. Their read transactions begin when the first of them is streamed,
// one right after the other: what a pre hook let the application write is in the copy, and the copies of
// several files are of one moment as far as their writers do not care for milliseconds.
type source struct {
	engine    *Engine
	files     []file
	sizes     []int64 // when they were looked at
	proof     events.Proof
	snapshots []*snapshot
}

// Prepare implements engine.Engine: each database is opened and read for a moment.
func (e *Engine) Prepare(ctx context.Context, j executor.Job) (engine.Source, error) {
	found, err := e.files(j.Config, j.Database)
	if err != nil {
		return nil, err
	}
	src := &source{engine: e, files: found, proof: j.Proof}
	for _, f := range found {
		s, err := e.begin(ctx, f.path)
		if err != nil {
			return nil, err
		}
		src.sizes = append(src.sizes, s.bytes())
		if err := s.Close(); err != nil {
			return nil, fmt.Errorf("end the read transaction: %w", err)
		}
	}
	return src, nil
}

// Parts implements engine.Source.
func (s *source) Parts() []engine.Part {
	var all []engine.Part
	for i, f := range s.files {
		p := engine.Part{Name: "data.sqlite", Database: f.name, Bytes: s.sizes[i], Recipe: "> restored.sqlite"}
		if len(s.files) > 1 {
			p.Name = "data-" + strconv.Itoa(i+1) + ".sqlite"
			p.Recipe = "> restored-" + strconv.Itoa(i+1) + ".sqlite"
		}
		p.Stream = func(ctx context.Context, w io.Writer) (archive.Content, error) { return s.stream(ctx, i, w) }
		all = append(all, p)
	}
	return all
}

// ScratchNeed implements engine.Scratching: one database at a time is unpacked to be proven.
func (s *source) ScratchNeed(events.Proof) (most int64) {
	for _, n := range s.sizes {
		most = max(most, n)
	}
	return most
}

func (s *source) stream(ctx context.Context, i int, w io.Writer) (c archive.Content, err error) {
	if err := s.begin(ctx); err != nil {
		return c, err
	}
	one := s.snapshots[i]
	defer one.Close() // the transaction holds up checkpoints: it ends with its own file
	err = one.stream(ctx, w)
	if err == nil && s.proof == events.ProofRestored {
		var got counted
		got, err = readRows(ctx, one.db, true)
		c.Tables, c.Checksums = got.rows, got.sums
	}
	c.Pages = &archive.Pages{Count: one.pages, Size: one.pageSize}
	return c, copyError(s.files[i].path, err)
}

// begin begins all read transactions, once.
func (s *source) begin(ctx context.Context) error {
	if s.snapshots != nil {
		return nil
	}
	for _, f := range s.files {
		one, err := s.engine.begin(ctx, f.path)
		if err != nil {
			return err // Close ends those that have begun
		}
		s.snapshots = append(s.snapshots, one)
	}
	return nil
}

// About implements engine.Source.
func (s *source) About() engine.About {
	a := engine.About{Kind: engine.Physical, Tool: tool}
	var sums []uint64
	for _, one := range s.snapshots {
		sums = append(sums, one.hash.Sum64())
		if one.version != "" { // none: an empty database, or one written before 3.7
			a.EngineVersion = one.version
		}
		if a.ConsistencyTime.IsZero() || one.taken.Before(a.ConsistencyTime) {
			a.ConsistencyTime = one.taken
		}
	}
	a.Fingerprint = fingerprint(sums)
	return a
}

// Close implements engine.Source.
func (s *source) Close() error {
	var all []error
	for _, one := range s.snapshots {
		all = append(all, one.Close())
	}
	if err := errors.Join(all...); err != nil {
		return fmt.Errorf("end the read transaction: %w", err)
	}
	return nil
}
