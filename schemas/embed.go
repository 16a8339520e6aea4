// Package schemas holds the published contract of the bus: one JSON Schema (2020-12) per event type and
// major version, and one valid example of each.
package schemas

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed events/*.json examples/*.json
var files embed.FS

//go:embed asyncapi.json
var asyncAPI []byte

// AsyncAPI is the AsyncAPI 3.0 document of the bus: subjects, messages and who sends them, complete in itself.
func AsyncAPI() []byte { return asyncAPI }

// FS is the tree as it is in the repository: events/{entity}.{step}.v{n}.json, examples/ likewise, and
// events/defs.json with the definitions that the schemas share.
func FS() fs.FS { return files }

// Find returns the schema of an event type, `dev.backupbus.{entity}.{step}.v{n}`.
func Find(eventType string) ([]byte, error) { return find("events", eventType) }

// Bundled is Find with the shared definitions inside, so that it can be used alone (2020-12, compound documents).
func Bundled(eventType string) ([]byte, error) {
	b, err := Find(eventType)
	if err != nil {
		return nil, err
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("schema of %s: %w", eventType, err)
	}
	shared, err := files.ReadFile("events/defs.json")
	if err != nil {
		return nil, err
	}
	if doc["$defs"] != nil {
		return nil, fmt.Errorf("schema of %s has definitions of its own", eventType)
	}
	if doc["$defs"], err = json.Marshal(map[string]json.RawMessage{"shared": shared}); err != nil {
		return nil, err
	}
	return json.Marshal(doc)
}

// Example returns a valid event of that type in JSON structured mode.
func Example(eventType string) ([]byte, error) { return find("examples", eventType) }

// Types lists the event types that have a schema, sorted.
func Types() []string {
	entries, err := files.ReadDir("events")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	var types []string
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".json"); name != "defs" {
			types = append(types, "dev.backupbus."+name)
		}
	}
	return types
}

func find(folder, eventType string) ([]byte, error) {
	name := strings.TrimPrefix(eventType, "dev.backupbus.")
	b, err := files.ReadFile(folder + "/" + name + ".json")
	if err != nil {
		return nil, fmt.Errorf("no schema for event type %q", eventType)
	}
	return b, nil
}
