package archive

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/backupbus/backupbus/events"
)

func TestRead_DamageIsCorrupt(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("some data that compresses, "), 1<<16)
	cases := map[string]func(m *Manifest, b []byte) []byte{
		"flipped":           func(m *Manifest, b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"cut":               func(m *Manifest, b []byte) []byte { return b[:len(b)-1] },
		"longer":            func(m *Manifest, b []byte) []byte { return append(b, 0) },
		"empty":             func(m *Manifest, b []byte) []byte { return nil },
		"other source size": func(m *Manifest, b []byte) []byte { m.Objects[0].SourceBytes--; return b },
		"larger source":     func(m *Manifest, b []byte) []byte { m.Objects[0].SourceBytes++; return b },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, dir := setup(t)
			m := stored(t, c, data)
			file := filepath.Join(dir, filepath.FromSlash(c.prefix), m.Objects[0].Name)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, change(&m, b), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			_, err = c.Extract(t.Context(), m.Objects[0], &out)
			wantCode(t, err, events.Corrupt)
			if strings.Contains(name, "source") {
				return
			}
			_, err = c.Check(t.Context(), m)
			wantCode(t, err, events.Corrupt)
		})
	}
}

func TestExtract_BombIsBounded(t *testing.T) {
	t.Parallel()
	c, dir := setup(t)
	m := stored(t, c, []byte("small"))
	var bomb bytes.Buffer
	enc, err := zstd.NewWriter(&bomb)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(enc, io.LimitReader(zeros{}, 1<<30)); err != nil {
		t.Fatal(err)
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(c.prefix), object), bomb.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Objects[0].StoredBytes = int64(bomb.Len())
	var out bytes.Buffer
	_, err = c.Extract(t.Context(), m.Objects[0], &out)
	wantCode(t, err, events.Corrupt)
	if int64(out.Len()) > m.SourceBytes()+1 {
		t.Errorf("%d bytes came out", out.Len())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestManifest_MissingOrDamaged(t *testing.T) {
	t.Parallel()
	c, dir := setup(t)
	_, err := c.ReadManifest(t.Context())
	wantCode(t, err, events.NotFound)
	stored(t, c, []byte("x"))
	file := filepath.Join(dir, filepath.FromSlash(c.prefix), "manifest.json")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, doc := range map[string]string{
		"no JSON":        "{",
		"other version":  strings.Replace(string(good), `"version": 2`, `"version": 0`, 1),
		"path as object": strings.Replace(string(good), `"data.zst"`, `"../data.zst"`, 1),
		"too long":       string(good) + strings.Repeat(" ", maxManifest),
	} {
		if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := c.ReadManifest(t.Context())
		t.Log(name)
		wantCode(t, err, events.Corrupt)
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	m := Manifest{Objects: []Object{{SHA256: strings.Repeat("a", 64)}}}
	if err := m.Matches(nil); err != nil {
		t.Error(err)
	}
	if err := m.Matches(&events.Checksum{Algorithm: "sha256", Value: m.Objects[0].SHA256}); err != nil {
		t.Error(err)
	}
	wantCode(t, m.Matches(&events.Checksum{Algorithm: "sha256", Value: "b"}), events.Corrupt)
	wantCode(t, m.Matches(&events.Checksum{Algorithm: "md5", Value: m.Objects[0].SHA256}), events.Corrupt)
}

func TestReadManifest_OfTheFirstVersion(t *testing.T) {
	t.Parallel()
	c, dir := setup(t)
	m := stored(t, c, []byte("rows"))
	o := m.Objects[0]
	doc := fmt.Sprintf(`{"version":1,"backupId":"bk_a","attempt":1,"project":"shop","instance":"a","provider":"sqlite","engine":"sqlite",
		"tool":{"name":"modernc.org/sqlite","version":"3.53.4"},"object":%q,"storedBytes":%d,"sha256":%q,"sourceBytes":%d,"compression":"zstd",
		"proof":"CHECKED","startTime":"2026-11-20T10:00:00.000Z","endTime":"2026-11-20T10:00:01.000Z","consistencyTime":"2026-11-20T10:00:00.000Z",
		"pages":{"count":1,"size":4},"restore":"zstd -dc data.zst > restored.sqlite"}`, o.Name, o.StoredBytes, o.SHA256, o.SourceBytes)
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(c.prefix), "manifest.json"), []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := c.ReadManifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := c.Extract(t.Context(), old.Objects[0], &got); err != nil || got.String() != "rows" || old.Objects[0].Pages.Size != 4 || old.Provider != "sqlite" {
		t.Errorf("%q of %+v, %v", got.String(), old, err)
	}
	if err := old.Matches(&events.Checksum{Algorithm: "sha256", Value: o.SHA256}); err != nil {
		t.Error(err)
	}
}
