package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

func TestWrite_LayoutAndRoundTrip(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{"bytes": bytes.Repeat([]byte("abc"), 1<<20), "nothing": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, dir := setup(t)
			m := stored(t, c, data)
			prefix := "shop/a~2Fb~2Ec/bk_aaaaaaaaaaaaaaaaaaaaaaaaaa/attempt-1/"
			if diff := cmp.Diff([]string{prefix + object, prefix + "manifest.json"}, files(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if c.Name() != "main:"+prefix {
				t.Errorf("name %s", c.Name())
			}
			for p, want := range map[string]fs.FileMode{prefix: 0o700, prefix + object: 0o600, prefix + "manifest.json": 0o600, "": 0o700} {
				if info, err := os.Stat(filepath.Join(dir, p)); err != nil || info.Mode().Perm() != want {
					t.Errorf("mode of %q: %v, %v", p, info.Mode(), err)
				}
			}
			got, err := c.ReadManifest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, got); diff != "" {
				t.Errorf("manifest (-written +read):\n%s", diff)
			}
			if n, err := c.Check(t.Context(), got); err != nil || n != m.StoredBytes() {
				t.Errorf("check: %d, %v", n, err)
			}
			var out bytes.Buffer
			if n, err := c.Extract(t.Context(), got.Objects[0], &out); err != nil || n != int64(len(data)) || !bytes.Equal(out.Bytes(), data) {
				t.Errorf("extract: %d bytes, %v", n, err)
			}
		})
	}
}

func TestWrite_WhatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	some := bytes.Repeat([]byte("0123456789"), 1<<18)
	cases := map[string]func(cancel func(), w io.Writer) error{
		"producer fails at once": func(func(), io.Writer) error { return broken },
		"producer fails late": func(_ func(), w io.Writer) error {
			if _, err := w.Write(some); err != nil {
				return err
			}
			return broken
		},
		"cancelled while writing": func(cancel func(), w io.Writer) error {
			cancel()
			_, err := w.Write(some)
			return err
		},
		"cancelled after the last byte": func(cancel func(), w io.Writer) error {
			_, err := w.Write(some)
			cancel()
			return err
		},
	}
	for name, produce := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, dir := setup(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := c.Write(ctx, part, func(w io.Writer) error { return produce(cancel, w) })
			if !errors.Is(err, broken) && !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			if left := files(t, dir); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestWrite_PanicLeavesNothing(t *testing.T) {
	t.Parallel()
	c, dir := setup(t)
	func() {
		defer func() { _ = recover() }()
		_, _ = c.Write(t.Context(), part, func(io.Writer) error { panic("of the producer") })
	}()
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestWrite_FinishedCopyIsLeftAlone(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	m := stored(t, c, []byte("first"))
	_, err := c.Write(t.Context(), part, func(io.Writer) error { return errors.New("not reached") })
	wantCode(t, err, events.AlreadyExists)
	if _, err := c.Check(t.Context(), m); err != nil {
		t.Error(err)
	}
}
