package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/backupbus/backupbus/events"
)

const (
	manifestName    = "manifest.json"
	manifestVersion = 2
	maxManifest     = 8 << 20 // 10,000 tables with their rows
)

// Manifest says what the objects of a copy are and how to put them back without this product. It is
// written when they have been proven, so its presence is what makes a backup.
type Manifest struct {
	Version  int    `json:"version"` // 2
	BackupID string `json:"backupId"`
	Attempt  int    `json:"attempt"`
	Project  string `json:"project"`
	Instance string `json:"instance"`
	Provider string `json:"provider"`
	Database string `json:"database,omitempty"` // the one that was asked for

	Engine        string `json:"engine"`
	EngineVersion string `json:"engineVersion,omitempty"` // of the server
	Kind          string `json:"kind"`                    // LOGICAL, PHYSICAL
	Tool          Tool   `json:"tool"`

	Objects []Object `json:"objects"` // in the order in which they are put back

	Proof           events.Proof     `json:"proof"`
	Evidence        *events.Evidence `json:"evidence,omitempty"` // of that proof; of this copy alone
	StartTime       events.Time      `json:"startTime"`
	EndTime         events.Time      `json:"endTime"`
	ConsistencyTime events.Time      `json:"consistencyTime"`    // what was committed before it is in the copy
	Position        string           `json:"position,omitempty"` // of the server's log: GTID, file:position, LSN
	Fingerprint     string           `json:"fingerprint,omitempty"`
	EncryptedTo     []string         `json:"encryptedTo,omitempty"` // age recipients
}

// Tool made the copy.
type Tool struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Flags   []string `json:"flags,omitempty"` // without addresses and names
}

// Object is one stored stream.
type Object struct {
	Name        string `json:"name"` // beside the manifest
	Database    string `json:"database,omitempty"`
	StoredBytes int64  `json:"storedBytes"`
	SHA256      string `json:"sha256"` // of the stored bytes, lower-case hex
	SourceBytes int64  `json:"sourceBytes"`
	Compression string `json:"compression"`          // zstd
	Encryption  string `json:"encryption,omitempty"` // age, around the compressed stream
	Restore     string `json:"restore"`              // one shell line of stock tools, run beside the object
	Content
}

// Content is what an engine knows of the plain stream.
type Content struct {
	Pages  *Pages           `json:"pages,omitempty"`  // sqlite
	Tables map[string]int64 `json:"tables,omitempty"` // rows of each table, if they were counted
	// Checksums are of the rows of each table in the source, in whatever order: computed for RESTORED alone,
	// by a rule of the engine. A table without one is compared by its number of rows.
	Checksums map[string]string `json:"checksums,omitempty"`
}

// Pages measure an SQLite database.
type Pages struct {
	Count int64 `json:"count"`
	Size  int64 `json:"size"`
}

// StoredBytes are the bytes of all objects in the storage, SourceBytes those that came from the tool.
func (m Manifest) StoredBytes() (n int64) {
	for _, o := range m.Objects {
		n += o.StoredBytes
	}
	return n
}

// SourceBytes are the bytes that came from the tool.
func (m Manifest) SourceBytes() (n int64) {
	for _, o := range m.Objects {
		n += o.SourceBytes
	}
	return n
}

// Checksum is what the record keeps: that of the object if there is one, else the SHA-256 of what
// `sha256sum OBJECT…` prints for all of them in their order.
func (m Manifest) Checksum() *events.Checksum {
	if len(m.Objects) == 1 {
		return &events.Checksum{Algorithm: "sha256", Value: m.Objects[0].SHA256}
	}
	h := sha256.New()
	for _, o := range m.Objects {
		fmt.Fprintf(h, "%s  %s\n", o.SHA256, o.Name)
	}
	return &events.Checksum{Algorithm: "sha256", Value: hex.EncodeToString(h.Sum(nil))}
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
	if len(doc) >= maxManifest {
		return rejected("the copy has more tables and objects than a manifest can list: split the instance")
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
	if m.Version == 1 {
		if m, err = ofVersion1(doc); err != nil {
			return Manifest{}, corrupt("the manifest of the copy cannot be read: the copy cannot be used", err)
		}
	}
	if m.Version > manifestVersion {
		return Manifest{}, rejected("the copy was written by a later version of backupbus: use that one to read it")
	}
	if err := m.check(); err != nil {
		return Manifest{}, corrupt("the manifest of the copy is damaged: the copy cannot be used", err)
	}
	return m, nil
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ofVersion1 reads the first form, in which a copy was one object whose facts lay in the manifest itself.
func ofVersion1(doc []byte) (Manifest, error) {
	var m Manifest
	var o Object
	var named struct {
		Object string `json:"object"`
	}
	if err := errors.Join(json.Unmarshal(doc, &m), json.Unmarshal(doc, &o), json.Unmarshal(doc, &named)); err != nil {
		return Manifest{}, err
	}
	o.Name, o.Database = named.Object, m.Database
	m.Version, m.Kind, m.Objects = manifestVersion, "PHYSICAL", []Object{o} // SQLite was all there was
	return m, nil
}

// MaxObjects bounds the objects of one copy: a database each, and what belongs to none.
const MaxObjects = 1001

func (m Manifest) check() error {
	switch {
	case m.Version != manifestVersion:
		return fmt.Errorf("version %d is not known", m.Version)
	case len(m.Objects) == 0 || len(m.Objects) > MaxObjects:
		return fmt.Errorf("%d objects", len(m.Objects))
	}
	seen := map[string]bool{}
	for _, o := range m.Objects {
		if seen[o.Name] {
			return fmt.Errorf("object %q is listed twice", o.Name)
		}
		seen[o.Name] = true
		if err := o.check(); err != nil {
			return err
		}
	}
	return nil
}

func (o Object) check() error {
	switch {
	case !objectName.MatchString(o.Name) || o.Name == manifestName:
		return fmt.Errorf("object %q is not a name", o.Name)
	case o.StoredBytes < 0 || o.SourceBytes < 0:
		return fmt.Errorf("sizes %d and %d", o.StoredBytes, o.SourceBytes)
	case !sha256Hex.MatchString(o.SHA256):
		return fmt.Errorf("sha256 %q", o.SHA256)
	case o.Compression != Zstd:
		return fmt.Errorf("compression %q is not known", o.Compression)
	case o.Encryption != "" && o.Encryption != Age:
		return fmt.Errorf("encryption %q is not known", o.Encryption)
	case o.Pages != nil && (o.Pages.Count < 0 || o.Pages.Size < 0):
		return fmt.Errorf("%d pages of %d", o.Pages.Count, o.Pages.Size)
	}
	return nil
}

// objectName is a name that is a file's everywhere and needs no quotes in a shell.
var objectName = regexp.MustCompile(`^[A-Za-z0-9_~][A-Za-z0-9_.~-]{0,199}$`)
