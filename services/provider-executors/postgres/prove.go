package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// Prove implements engine.Engine.
func (e *Engine) Prove(ctx context.Context, level events.Proof, c engine.Copy) (engine.Loaded, error) {
	if c.Manifest.Kind == engine.Physical {
		return e.provePhysical(ctx, level, c)
	}
	if level == events.ProofRestored { // loading reads as much as checking
		return e.reload(ctx, c)
	}
	restore, err := e.restoreProgram(ctx, c.Manifest)
	if err != nil {
		return engine.Loaded{}, err
	}
	for _, o := range c.Manifest.Objects {
		if err := check(ctx, restore, c, o); err != nil {
			return engine.Loaded{}, err
		}
	}
	return engine.Loaded{}, nil
}

// restoreProgram is a pg_restore that reads the dumps of m.
func (e *Engine) restoreProgram(ctx context.Context, m archive.Manifest) (program, error) {
	return e.program(ctx, "pg_restore", tool.ParseVersion(m.Tool.Version).Major)
}

// check reads an object to its end by the measure of the tool that wrote it. The list of a dump
// (pg_restore -l) would prove nothing: it is whole in a torn dump too.
func check(ctx context.Context, restore program, c engine.Copy, o archive.Object) error {
	switch {
	case isPart(o, globalsPart):
		end := &ending{to: io.Discard}
		if err := c.Unpack(ctx, o, end); err != nil {
			return err
		}
		if !end.has(globalsEnd) {
			return corrupt("the stored roles of the server are not whole: the copy cannot be used", errNoEnd)
		}
		return nil
	case isPart(o, databasesPart):
		_, err := unpackDatabases(ctx, c, o)
		return err
	}
	head := &head{to: io.Discard, want: dumpMagic}
	err := feed(ctx, c, o, head, tool.Command{Path: restore.path, Args: []string{"--exit-on-error", "--file=/dev/null"}})
	var exit *tool.ExitError
	switch {
	case errors.As(err, &exit) && !isFailure(err) && exit.Exit > 0:
		return corrupt("the stored dump of a database is not whole: the copy cannot be used", err)
	case err != nil:
		return toolFailure(err, "the stored dump could not be read: the executor's log has the details")
	case !head.right():
		return corrupt("a stored object is no dump of PostgreSQL: the copy cannot be used", errNoMagic)
	}
	return nil
}

func isPart(o archive.Object, part string) bool { return strings.HasPrefix(o.Name, part+".") }

// part is the object of that name, if the copy has it.
func part(m archive.Manifest, name string) (archive.Object, bool) {
	for _, o := range m.Objects {
		if isPart(o, name) {
			return o, true
		}
	}
	return archive.Object{}, false
}

// maxDescription bounds what is held in memory of the small objects.
const maxDescription = 64 << 20

func unpackDatabases(ctx context.Context, c engine.Copy, o archive.Object) ([]database, error) {
	doc, err := unpackSmall(ctx, c, o)
	if err != nil {
		return nil, err
	}
	all, err := readDatabases(doc)
	if err != nil {
		return nil, corrupt("the stored description of the databases is not whole: the copy cannot be used", err)
	}
	return all, nil
}

func unpackSmall(ctx context.Context, c engine.Copy, o archive.Object) ([]byte, error) {
	if o.SourceBytes > maxDescription {
		return nil, corrupt("a stored object is larger than one of its kind can be: the copy cannot be used", fmt.Errorf("%d bytes", o.SourceBytes))
	}
	var b bytes.Buffer
	if err := c.Unpack(ctx, o, &b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// described are the dumps of a copy with what is known of their databases.
type described struct {
	object archive.Object
	database
}

func describe(ctx context.Context, c engine.Copy) ([]described, error) {
	o, ok := part(c.Manifest, databasesPart)
	if !ok {
		return nil, corrupt("the copy has no description of its databases: it cannot be used", nil)
	}
	known, err := unpackDatabases(ctx, c, o)
	if err != nil {
		return nil, err
	}
	var all []described
	for _, o := range c.Manifest.Objects {
		if o.Database == "" {
			continue
		}
		found := false
		for _, d := range known {
			if d.Name == o.Database {
				all, found = append(all, described{o, d}), true
			}
		}
		if !found {
			return nil, corrupt("a database of the copy is not described in it: the copy cannot be used", nil)
		}
	}
	return all, nil
}
