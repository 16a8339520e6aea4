package postgres

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
)

// manifestFile is what pg_basebackup appends: every file but the log, with size and checksum.
const manifestFile = "backup_manifest"

// maxBaseManifest bounds what is held of it: some millions of files.
const maxBaseManifest = 512 << 20

// placer takes the files of a copy as they come. A directory comes before what is in it.
type placer interface {
	folder(name string) error
	file(name string) (io.WriteCloser, error)
}

// nowhere throws them away.
type nowhere struct{}

func (nowhere) folder(string) error { return nil }

func (nowhere) file(string) (io.WriteCloser, error) { return discard{}, nil }

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// seen is a file that was read.
type seen struct {
	size int64
	sum  string
}

// unpackBase reads the tar of a physical copy to its end, hands its files to to, and compares each with
// the manifest in it. CORRUPT: it is not whole.
func unpackBase(ctx context.Context, c engine.Copy, o archive.Object, to placer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		err := c.Unpack(ctx, o, w)
		_ = w.CloseWithError(err)
		unpacked <- err
	}()
	files, manifest, err := readBase(r, to)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // what follows the last file
	}
	_ = r.CloseWithError(err)
	if damage := <-unpacked; isFailure(damage) || err == nil && damage != nil {
		return damage
	}
	if err == nil {
		err = compareBase(files, manifest)
	}
	return err
}

func readBase(r io.Reader, to placer) (map[string]seen, []byte, error) {
	files, manifest := map[string]seen{}, &bytes.Buffer{}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, manifest.Bytes(), nil
		}
		if err != nil {
			return nil, nil, torn(err)
		}
		name := path.Clean(h.Name)
		if !filepath.IsLocal(name) {
			return nil, nil, corrupt("the stored files of the server lead out of their folder: the copy cannot be used", nil)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = to.folder(name)
		case tar.TypeReg:
			if name == manifestFile && h.Size > maxBaseManifest {
				return nil, nil, torn(errors.New("manifest too long"))
			}
			files[name], err = readFile(t, name, to, manifest)
		default:
			err = corrupt("the stored files of the server hold one that is no ordinary file: the copy cannot be used", nil)
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

// readFile places one file and sums it; the manifest is kept too.
func readFile(t io.Reader, name string, to placer, manifest *bytes.Buffer) (seen, error) {
	f, err := to.file(name)
	if err != nil {
		return seen{}, err
	}
	h := sha256.New()
	out := io.MultiWriter(&placed{f}, h)
	if name == manifestFile {
		out = io.MultiWriter(out, manifest)
	}
	n, err := io.Copy(out, t)
	closed := f.Close()
	var local placeError
	switch {
	case errors.As(err, &local):
		return seen{}, local.error
	case err != nil:
		return seen{}, torn(err)
	case closed != nil:
		return seen{}, closed
	}
	return seen{n, hex.EncodeToString(h.Sum(nil))}, nil
}

// placed tells errors of writing from those of reading.
type placed struct{ io.Writer }

type placeError struct{ error }

func (p *placed) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	if err != nil {
		err = placeError{err}
	}
	return n, err
}

func torn(err error) error {
	if isFailure(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return corrupt("the stored files of the server are not whole: the copy cannot be used", err)
}

// baseManifest is the part of backup_manifest that is compared.
type baseManifest struct {
	Files []struct {
		Path        string
		EncodedPath string `json:"Encoded-Path"`
		Size        int64
		Algorithm   string `json:"Checksum-Algorithm"`
		Checksum    string
	}
	Ranges   []struct{ Timeline int } `json:"WAL-Ranges"`
	Checksum string                   `json:"Manifest-Checksum"`
}

func compareBase(files map[string]seen, doc []byte) error {
	if _, ok := files["backup_label"]; !ok || len(doc) == 0 {
		return torn(errors.New("backup_label or backup_manifest is missing"))
	}
	var m baseManifest
	if err := json.Unmarshal(doc, &m); err != nil {
		return torn(err)
	}
	if body, _, ok := bytes.Cut(doc, []byte(`"Manifest-Checksum"`)); !ok || m.Checksum != hexSum(body) {
		return torn(errors.New("the manifest differs from its own checksum"))
	}
	for _, f := range m.Files {
		name := f.Path
		if f.EncodedPath != "" {
			raw, err := hex.DecodeString(f.EncodedPath)
			if err != nil {
				return torn(err)
			}
			name = string(raw)
		}
		got, ok := files[name]
		if !ok && name == "tablespace_map" && f.Size == 0 {
			continue // listed, and left out of the stream when it is empty
		}
		if !ok || got.size != f.Size || f.Algorithm == "SHA256" && got.sum != f.Checksum {
			return torn(fmt.Errorf("a file differs from the manifest: %v", got))
		}
	}
	return hasLog(files, m)
}

// hasLog sees that the log without which the files are of no use is there; its content is proven by
// recovery.
func hasLog(files map[string]seen, m baseManifest) error {
	if len(m.Ranges) == 0 {
		return torn(errors.New("no range of the log"))
	}
	for name, f := range files {
		if strings.HasPrefix(name, "pg_wal/") && len(path.Base(name)) == 24 && f.size > 0 {
			return nil
		}
	}
	return torn(errors.New("no segment of the log"))
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
