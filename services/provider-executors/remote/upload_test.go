package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// The writer of our own, which Azure gets: what is closed is stored, and what is cancelled or refused is not, however
// often it is closed.
func TestUpload_ClosedIsStoredCancelledIsNot(t *testing.T) {
	t.Parallel()
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = b.Close() })
	begin := func(ctx context.Context, key string) io.WriteCloser {
		t.Helper()
		w, err := uploads(b)(ctx, key, &blob.WriterOptions{ContentType: "application/octet-stream"})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	data := noise(1 << 20)
	w := begin(t.Context(), "whole")
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("written after its end: %v", err)
	}
	if got, err := b.ReadAll(t.Context(), "whole"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	w = begin(ctx, "cancelled")
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	cancel()
	for range 2 {
		if err := w.Close(); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
	if there, err := b.Exists(t.Context(), "cancelled"); err != nil || there {
		t.Errorf("what was cancelled is there: %v", err)
	}

	w = begin(t.Context(), "") // which no bucket takes
	if _, err := w.Write(data); err == nil {
		t.Error("an upload that was refused goes on")
	}
	if err := w.Close(); err == nil {
		t.Error("an upload that was refused is stored")
	}
}
