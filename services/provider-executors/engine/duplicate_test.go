package engine

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// A copy is as good as SUCCESSFUL means at its destination: where its source was proven less, that is made up for.
func TestDuplicate_IsProvenAsItsDestinationAsks(t *testing.T) {
	t.Parallel()
	var levels []events.Proof
	h := &hand{prove: func(ctx context.Context, level events.Proof, c Copy) error {
		levels = append(levels, level)
		for _, o := range c.Manifest.Objects {
			if err := c.Unpack(ctx, o, io.Discard); err != nil {
				return err
			}
		}
		return nil
	}}
	x, _ := setup(t, h, nil)
	source := finish(t, x, executor.Job{BackupID: "bk_source", Attempt: 1, Project: "acme", Instance: "db", Proof: events.ProofStored})
	from := &executor.Source{Ref: *source.Outcome.Ref, Checksum: source.Outcome.Checksum}
	for _, c := range []struct {
		id     string
		wanted events.Proof
		proven events.Proof
		proofs int
	}{{"bk_stored", events.ProofStored, events.ProofStored, 0}, {"bk_checked", "", events.ProofChecked, 1}, {"bk_restored", events.ProofRestored, events.ProofRestored, 1}} {
		levels = nil
		p := finish(t, x, executor.Job{BackupID: c.id, Attempt: 1, Project: "acme", Instance: "db", Proof: c.wanted, Source: from})
		if p.Err != nil || p.Outcome.Proof != c.proven || len(levels) != c.proofs || c.proofs > 0 && (levels[0] != c.proven || p.Outcome.Evidence == nil) {
			t.Errorf("%s: %s %v, proofs %v, %v", c.id, p.Outcome.Proof, p.Outcome.Evidence, levels, p.Err)
		}
	}
	h.prove = func(context.Context, events.Proof, Copy) error {
		return &events.Failure{Code: events.Corrupt, Category: events.BySystem, Message: "it cannot be loaded"}
	}
	p := finish(t, x, executor.Job{BackupID: "bk_bad", Attempt: 1, Project: "acme", Instance: "db", Source: from})
	var f *events.Failure
	if !errors.As(p.Err, &f) || f.Code != events.Corrupt {
		t.Errorf("of a source that cannot be proven: %+v", p)
	}
}
