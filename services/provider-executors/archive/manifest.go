package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/backupbus/backupbus/events"
)

const (
	manifestName    = "manifest.json"
	manifestVersion = 1
	maxManifest     = 1 << 20
)

// Manifest says what an object is and how to put it back without this product. It is written when the
// object has been proven, so its presence is what makes a backup.
type Manifest struct {
	Version  int    `json:"version"` // 1
	BackupID string `json:"backupId"`
	Attempt  int    `json:"attempt"`
	Project  string `json:"project"`
	Instance string `json:"instance"`
	Provider string `json:"provider"`
	Database string `json:"database,omitempty"`

	Engine        string `json:"engine"`
	EngineVersion string `json:"engineVersion,omitempty"`
	Tool          Tool   `json:"tool"`

	Object      string `json:"object"` // beside the manifest
	StoredBytes int64  `json:"storedBytes"`
	SHA256      string `json:"sha256"` // of the stored bytes, lower-case hex
	SourceBytes int64  `json:"sourceBytes"`
	Compression string `json:"compression"`

	Proof           events.Proof `json:"proof"`
	StartTime       events.Time  `json:"startTime"`
	EndTime         events.Time  `json:"endTime"`
	ConsistencyTime events.Time  `json:"consistencyTime"` // what was committed before it is in the copy

	Pages   *Pages `json:"pages,omitempty"` // sqlite
	Restore string `json:"restore"`         // one shell line of stock tools, run beside the object
}

// Tool made the copy.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Pages measure an SQLite database.
type Pages struct {
	Count int64 `json:"count"`
	Size  int64 `json:"size"`
}

// WriteManifest turns the stored object into a backup. The object has to be there and proven.
func (c *Copy) WriteManifest(ctx context.Context, m Manifest) error {
	m.Version = manifestVersion
	if err := m.check(); err != nil {
		return fmt.Errorf("manifest of %s: %w", m.BackupID, err)
	}
	doc, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("manifest of %s: %w", m.BackupID, err)
	}
	if err := c.at.put(ctx, c.prefix+manifestName, append(doc, '\n')); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}

// ReadManifest reads the manifest. NOT_FOUND: there is no backup here. CORRUPT: it cannot be used.
func (c *Copy) ReadManifest(ctx context.Context) (Manifest, error) {
	r, err := c.open(ctx, manifestName)
	if err != nil {
		return Manifest{}, fmt.Errorf("read the manifest: %w", err)
	}
	defer r.Close()
	doc, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return Manifest{}, c.at.fail("read the manifest from", err)
	}
	var m Manifest
	if err := json.Unmarshal(doc, &m); err != nil || len(doc) > maxManifest {
		return Manifest{}, corrupt("the manifest of the copy cannot be read: the copy cannot be used", err)
	}
	if err := m.check(); err != nil {
		return Manifest{}, corrupt("the manifest of the copy is damaged: the copy cannot be used", err)
	}
	return m, nil
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (m Manifest) check() error {
	switch {
	case m.Version != manifestVersion:
		return fmt.Errorf("version %d is not known", m.Version)
	case m.Object == "" || m.Object == manifestName || strings.ContainsAny(m.Object, "/\\"):
		return fmt.Errorf("object %q is not a name", m.Object)
	case m.StoredBytes < 0 || m.SourceBytes < 0:
		return fmt.Errorf("sizes %d and %d", m.StoredBytes, m.SourceBytes)
	case !sha256Hex.MatchString(m.SHA256):
		return fmt.Errorf("sha256 %q", m.SHA256)
	case m.Compression != Zstd:
		return fmt.Errorf("compression %q is not known", m.Compression)
	case m.Pages != nil && (m.Pages.Count < 0 || m.Pages.Size < 0):
		return fmt.Errorf("%d pages of %d", m.Pages.Count, m.Pages.Size)
	}
	return nil
}
