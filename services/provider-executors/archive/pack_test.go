package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/backupbus/backupbus/events"
)

// zstdProgram is the program, and a skip or failure where there is none.
func zstdProgram(t *testing.T) string { return program(t, "zstd") }

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("BACKUPBUS_REQUIRE_SERVERS") == "1" {
			t.Fatal("not found: " + name)
		}
		t.Skip("not found: " + name)
	}
	return path
}

// packed is a copy in a new storage with options of its own.
func packed(t *testing.T, o Options) (*Copy, *Storages, string) {
	t.Helper()
	dir := t.TempDir()
	o.URLs = map[string]string{"main": (&url.URL{Scheme: "file", Path: dir}).String()}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c, err := s.Of(job(1))
	if err != nil {
		t.Fatal(err)
	}
	return c, s, filepath.Join(dir, filepath.FromSlash(c.prefix))
}

// text is data of n bytes that compresses like a dump.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		for range 8 {
			b.WriteString([]string{"INSERT INTO ", "orders", "'shipped',", "42,", "NULL,", "0x00ff,"}[r.IntN(6)])
		}
		b.WriteByte(byte('a' + r.IntN(26)))
	}
	return b.Bytes()[:n]
}

func identity(t *testing.T) (file, recipient string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("# a comment\n"+id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, id.Recipient().String()
}

func TestWrite_EveryFormComesBackAndStockToolsReadIt(t *testing.T) {
	t.Parallel()
	zstd, ageProgram := zstdProgram(t), program(t, "age")
	data := text(5 << 20)
	for name, program := range map[string]string{"built in": "", "program": zstd} {
		for _, sealed := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				key, to := identity(t)
				_, second := identity(t)
				c, _, dir := packed(t, Options{Compression: Compression{Program: program}, Identities: key})
				s := Stream{Name: "dump.sql"}
				line := zstd + " -dc dump.sql.zst"
				if sealed {
					s.EncryptTo = []string{second, to}
					line = ageProgram + " -d -i " + key + " dump.sql.zst.age | " + zstd + " -dc"
				}
				o, err := c.Write(t.Context(), s, func(w io.Writer) error { _, err := w.Write(data); return err })
				if err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				if _, err := c.Extract(t.Context(), o, &got); err != nil || !bytes.Equal(got.Bytes(), data) {
					t.Errorf("%d bytes of %d, %v", got.Len(), len(data), err)
				}
				if _, err := c.Check(t.Context(), Manifest{Objects: []Object{o}}); err != nil {
					t.Error(err)
				}
				if err := c.Unlock(t.Context(), Manifest{Objects: []Object{o}}); err != nil {
					t.Error(err)
				}
				cmd := exec.Command("bash", "-o", "pipefail", "-c", line)
				cmd.Dir = dir
				if out, err := cmd.Output(); err != nil || !bytes.Equal(out, data) {
					t.Errorf("stock tools: %d bytes of %d, %v", len(out), len(data), err)
				}
			})
		}
	}
}

func TestWrite_ProgramThatDies_LeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dead := filepath.Join(dir, "zstd")
	if err := os.WriteFile(dead, []byte("#!/bin/sh\nhead -c 100000 >/dev/null\necho boom >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, _, store := packed(t, Options{Compression: Compression{Program: dead}})
	_, err := c.Write(t.Context(), part, func(w io.Writer) error {
		_, err := w.Write(text(10 << 20))
		return err
	})
	wantCode(t, err, events.Internal)
	if left, _ := os.ReadDir(store); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWrite_CancelAndBrokenProducerEndTheProgram(t *testing.T) {
	t.Parallel()
	zstd := zstdProgram(t)
	broken := errors.New("the tool was killed")
	for name, produce := range map[string]func(context.CancelFunc, io.Writer) error{
		"cancel": func(cancel context.CancelFunc, w io.Writer) error {
			cancel()
			for {
				if _, err := w.Write(text(1 << 16)); err != nil {
					return err
				}
			}
		},
		"broken": func(_ context.CancelFunc, w io.Writer) error {
			_, _ = w.Write(text(1 << 20))
			return broken
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, store := packed(t, Options{Compression: Compression{Program: zstd}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := c.Write(ctx, part, func(w io.Writer) error { return produce(cancel, w) })
			if !errors.Is(err, broken) && !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			if left, _ := os.ReadDir(store); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestRead_WrongOrMissingKeyIsToldBeforeAByteIsWritten(t *testing.T) {
	t.Parallel()
	_, to := identity(t)
	wrong, _ := identity(t)
	for name, key := range map[string]string{"wrong": wrong, "none": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s, _ := packed(t, Options{Identities: key})
			if open, err := s.CanOpen([]string{to}); open || err != nil {
				t.Errorf("can open %v, %v", open, err)
			}
			o, err := c.Write(t.Context(), Stream{Name: "d", EncryptTo: []string{to}}, func(w io.Writer) error { _, err := w.Write(text(1 << 20)); return err })
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			_, err = c.Extract(t.Context(), o, &got)
			wantCode(t, err, events.PermissionDenied)
			if got.Len() != 0 {
				t.Errorf("%d bytes came out", got.Len())
			}
			m := Manifest{Objects: []Object{o}}
			wantCode(t, c.Unlock(t.Context(), m), events.PermissionDenied)
			if _, err := c.Check(t.Context(), m); err != nil { // needs no key
				t.Error(err)
			}
		})
	}
}

func TestOpen_IdentitiesAndRecipientsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	key, to := identity(t)
	secret, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	_, s, _ := packed(t, Options{Identities: key})
	if open, err := s.CanOpen([]string{to}); !open || err != nil {
		t.Errorf("can open %v, %v", open, err)
	}
	private := strings.Split(strings.TrimSpace(string(secret)), "\n")[1]
	_, err = s.CanOpen([]string{private}) // the wrong half of the pair
	wantCode(t, err, events.ProviderRejected)
	if strings.Contains(err.Error(), private) {
		t.Errorf("the error repeats the key: %v", err)
	}
	shared := filepath.Join(t.TempDir(), "shared")
	if err := os.WriteFile(shared, secret, 0o644); err != nil {
		t.Fatal(err)
	}
	rubbish := filepath.Join(t.TempDir(), "rubbish")
	if err := os.WriteFile(rubbish, []byte(private+"x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"open to others": shared, "rubbish": rubbish, "absent": "/nonexistent/key"} {
		_, err := Open(t.Context(), Options{URLs: map[string]string{"main": "file://" + t.TempDir()}, Identities: file})
		wantCode(t, err, events.PermissionDenied)
		if strings.Contains(err.Error(), private) {
			t.Errorf("%s: the error repeats the key: %v", name, err)
		}
	}
}

// TestWrite_IsHeldBackToTheLimit: bytes that do not compress. With the program, most of them still lie in
// pipes when it has ended, and take longer to be stored than any grace for a tool.
func TestWrite_IsHeldBackToTheLimit(t *testing.T) {
	t.Parallel()
	for name, z := range map[string]Compression{"built in": {}, "program": {Program: zstdProgram(t)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const limit = 150 << 10
			c, _, _ := packed(t, Options{BytesPerSecond: limit, Compression: z})
			noise := make([]byte, 1200<<10)
			_, _ = rand.NewChaCha8([32]byte{7}).Read(noise)
			began := time.Now()
			o, err := c.Write(t.Context(), part, func(w io.Writer) error { _, err := w.Write(noise); return err })
			if err != nil {
				t.Fatal(err)
			}
			least := time.Duration(float64(o.StoredBytes-limitChunk) / limit * float64(time.Second))
			if took := time.Since(began); took < least {
				t.Errorf("%d bytes took %s, the limit makes it %s", o.StoredBytes, took, least)
			}
		})
	}
}
