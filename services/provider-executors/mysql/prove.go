package mysql

import (
	"context"
	"fmt"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
)

// Prove implements engine.Engine.
func (e *Engine) Prove(ctx context.Context, level events.Proof, c engine.Copy) (engine.Loaded, error) {
	if c.Manifest.Kind == engine.Physical {
		return e.provePhysical(ctx, level, c)
	}
	o, err := dumpOf(c.Manifest)
	if err != nil {
		return engine.Loaded{}, err
	}
	if level == events.ProofRestored {
		return e.proveLoads(ctx, c, o)
	}
	seen := &ends{}
	if err := c.Unpack(ctx, o, seen); err != nil {
		return engine.Loaded{}, err
	}
	return engine.Loaded{}, seen.verdict()
}

// dumpOf is the one object of a logical copy.
func dumpOf(m archive.Manifest) (archive.Object, error) {
	if m.Kind != engine.Logical || len(m.Objects) != 1 {
		return archive.Object{}, corrupt("the manifest of the copy does not describe a dump: the copy cannot be used", fmt.Errorf("%s with %d objects", m.Kind, len(m.Objects)))
	}
	return m.Objects[0], nil
}

// verdict tells a whole dump from a torn one.
func (e *ends) verdict() error {
	switch {
	case !e.begins():
		return corrupt("the stored object does not begin as a dump does: the copy cannot be used", fmt.Errorf("no line that names the tool"))
	case !e.complete():
		return corrupt("the dump in the copy does not reach its end: the copy cannot be used", fmt.Errorf("last line %q", e.lastLine()))
	}
	return nil
}
