package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/backupbus/backupbus/services/access"
)

// Settings are what every process of backupbus is told, besides its service's own part.
type Settings struct {
	Bus struct {
		URL             string `yaml:"url"`             // of NATS, default nats://127.0.0.1:4222
		Name            string `yaml:"name"`            // the deployment's name, default bus.local; never change it
		CredentialsFile string `yaml:"credentialsFile"` // seed of a nkey or .creds, mode 0600; or the folder of the services' seeds
		// HistoryDays is bus.Topology's, for who makes the streams: `backupbus up`.
		HistoryDays int `yaml:"historyDays"`
	} `yaml:"bus"`
	View struct {
		RedisURL          string `yaml:"redisURL"`          // without the password
		RedisPasswordFile string `yaml:"redisPasswordFile"` // mode 0600
	} `yaml:"view"`
	Log struct {
		Level string `yaml:"level"` // debug, info (default), warn, error
		JSON  bool   `yaml:"json"`
	} `yaml:"log"`
	// Access is who may do what, at all doors and the API; without an entry, anybody everything.
	Access    access.Grants `yaml:"access"`
	OpsListen string        `yaml:"opsListen"` // metrics and health of a service on its own, default 127.0.0.1:0
}

// Decode reads one YAML document strictly: an unknown key, a key twice, or a wrong type is an error that
// names the line and the key. An empty document leaves into as it is.
func Decode(name string, doc []byte, into any) error {
	dec := yaml.NewDecoder(bytes.NewReader(doc))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", name, readable(doc, err))
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: holds more than one YAML document", name)
	}
	return nil
}

// DecodeFile is Decode for a file of at most 1 MiB.
func DecodeFile(path string, into any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	doc, err := io.ReadAll(io.LimitReader(f, maxSettings+1))
	if err != nil {
		return err
	}
	if len(doc) > maxSettings {
		return fmt.Errorf("%s: larger than %d bytes", path, maxSettings)
	}
	return Decode(path, doc, into)
}

const maxSettings = 1 << 20

// readable keeps the line of a YAML error, names the key that stands there, and drops the names of Go types.
func readable(doc []byte, err error) error {
	var t *yaml.TypeError
	if !errors.As(err, &t) {
		return err
	}
	lines := strings.Split(string(doc), "\n")
	out := make([]string, len(t.Errors))
	for i, e := range t.Errors {
		if head, _, ok := strings.Cut(e, " not found in type "); ok {
			e = strings.Replace(head, ": field ", ": unknown key ", 1)
		}
		if head, _, ok := strings.Cut(e, " into "); ok {
			e = strings.Replace(head, ": cannot unmarshal", ": "+keyAt(lines, e)+"unexpected", 1)
		}
		out[i] = e
	}
	return errors.New(strings.Join(out, "; "))
}

// keyAt is the key on the line that an error names, with a colon; empty if there is none.
func keyAt(lines []string, e string) string {
	var n int
	if _, err := fmt.Sscanf(e, "line %d:", &n); err != nil || n < 1 || n > len(lines) {
		return ""
	}
	key, _, found := strings.Cut(strings.TrimLeft(lines[n-1], " -"), ":")
	if !found {
		return ""
	}
	return key + ": "
}
