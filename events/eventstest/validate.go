// Package eventstest holds events against their published schemas, for tests of every module.
package eventstest

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/schemas"
)

const defs = "urn:backupbus:schema:defs"

// Valid fails the test for every event whose attributes break the envelope or whose data breaks the
// schema that `dataschema` names (case E1 of events.md 9).
func Valid(t testing.TB, evs ...events.Event) {
	t.Helper()
	for _, ev := range evs {
		if err := Check(ev); err != nil {
			t.Errorf("%s (%s): %v\n%s", ev.ID, ev.Type, err, ev.Data)
		}
	}
}

// Check is Valid for one event, as an error.
func Check(ev events.Event) error {
	c, err := compiler()
	if err != nil {
		return err
	}
	line, err := events.Structured(ev)
	if err != nil {
		return err
	}
	if err := c.validate(defs+"#/$defs/envelope", line); err != nil {
		return fmt.Errorf("envelope: %w", err)
	}
	return c.validate(ev.DataSchema, ev.Data)
}

// checker guards a compiler, which is not safe for concurrent use.
type checker struct {
	mu sync.Mutex
	c  *jsonschema.Compiler
}

var compiler = sync.OnceValues(func() (*checker, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	fsys := schemas.FS()
	files, err := fs.Glob(fsys, "events/*.json")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		b, err := fs.ReadFile(fsys, f)
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		m, ok := doc.(map[string]any)
		id, _ := m["$id"].(string)
		if !ok || !strings.HasPrefix(id, "urn:backupbus:schema:") {
			return nil, fmt.Errorf("%s has no $id of backupbus", f)
		}
		if err := c.AddResource(id, doc); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
	}
	return &checker{c: c}, nil
})

func (c *checker) validate(id string, doc []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.c.Compile(id)
	if err != nil {
		return fmt.Errorf("schema %s: %w", id, err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return err
	}
	return s.Validate(v)
}
