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

// source is the open read transactions of one attempt.
type source struct {
	snapshots []*snapshot
	parts     []engine.Part
}

// Prepare implements engine.Engine. The transactions on all files begin here, one right after the other:
// the copies of several files are of one moment as far as their writers do not care for milliseconds.
func (e *Engine) Prepare(ctx context.Context, j executor.Job) (engine.Source, error) {
	found, err := e.files(j.Config, j.Database)
	if err != nil {
		return nil, err
	}
	src := &source{}
	for i, f := range found {
		s, err := e.begin(ctx, f.path)
		if err != nil {
			return nil, errors.Join(err, src.Close())
		}
		src.snapshots = append(src.snapshots, s)
		src.parts = append(src.parts, part(s, f, len(found) > 1, i, j.Proof))
	}
	return src, nil
}

func part(s *snapshot, f file, several bool, i int, proof events.Proof) engine.Part {
	p := engine.Part{Name: "data.sqlite", Database: f.name, Bytes: s.bytes(), Recipe: "> restored.sqlite"}
	if several {
		p.Name = "data-" + strconv.Itoa(i+1) + ".sqlite"
		p.Recipe = "> restored-" + strconv.Itoa(i+1) + ".sqlite"
	}
	p.Stream = func(ctx context.Context, w io.Writer) (c archive.Content, err error) {
		defer s.Close() // the transaction holds up checkpoints: it ends with its own file
		err = s.stream(ctx, w)
		if err == nil && proof == events.ProofRestored {
			c.Tables, err = countRows(ctx, s.db)
		}
		c.Pages = &archive.Pages{Count: s.pages, Size: s.pageSize}
		return c, copyError(f.path, err)
	}
	return p
}

// Parts implements engine.Source.
func (s *source) Parts() []engine.Part { return s.parts }

// About implements engine.Source.
func (s *source) About() engine.About {
	first := s.snapshots[0]
	a := engine.About{Kind: engine.Physical, Tool: tool, ConsistencyTime: first.taken}
	var sums []uint64
	for _, one := range s.snapshots {
		sums = append(sums, one.hash.Sum64())
		if one.version != "" { // none: an empty database, or one written before 3.7
			a.EngineVersion = one.version
		}
		if one.taken.Before(a.ConsistencyTime) {
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
