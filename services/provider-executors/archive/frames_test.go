package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func framesTo(t *testing.T, to io.Writer) *frames {
	t.Helper()
	f, err := newFrames(to, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.abort)
	return f
}

func TestFrames_AreOneStream(t *testing.T) {
	t.Parallel()
	all := text(6*frameSize + 1)
	for _, size := range []int{0, 1, frameSize - 1, frameSize, frameSize + 1, 2 * frameSize, 6*frameSize + 1} {
		for _, piece := range []int{1000, frameSize, 3*frameSize + 7} {
			var stored bytes.Buffer
			f := framesTo(t, &stored)
			for left := all[:size]; len(left) > 0; {
				n := min(piece, len(left))
				if wrote, err := f.Write(left[:n]); err != nil || wrote != n {
					t.Fatal(wrote, err)
				}
				left = left[n:]
			}
			if err := errors.Join(f.Close(), f.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(all); !errors.Is(err, os.ErrClosed) {
				t.Errorf("written after the end: %v", err)
			}
			dec, err := zstd.NewReader(&stored)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(dec)
			dec.Close()
			if err != nil || !bytes.Equal(got, all[:size]) || size > frameSize && stored.Len() > size/2 {
				t.Errorf("%d bytes in pieces of %d: %d came back, %v", size, piece, len(got), err)
			}
		}
	}
}

// Dumps hold binary values as hex, in which nothing repeats and which is half as long all the same.
func TestFrames_HalveHex(t *testing.T) {
	t.Parallel()
	r := rand.NewChaCha8([32]byte{1})
	var stored bytes.Buffer
	f := framesTo(t, &stored)
	value, size := make([]byte, 4096), 0
	for n := range 200 {
		_, _ = r.Read(value)
		wrote, err := fmt.Fprintf(f, "INSERT INTO `files` VALUES (%d,0x%x);\n", n, value)
		if err != nil {
			t.Fatal(err)
		}
		size += wrote
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if stored.Len() > size*11/20 {
		t.Errorf("%d bytes of %d", stored.Len(), size)
	}
}

type failing struct{ after int }

var errFull = errors.New("full")

func (w *failing) Write(p []byte) (int, error) {
	if w.after -= len(p); w.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestFrames_EndWithTheWriterBehind(t *testing.T) {
	t.Parallel()
	f := framesTo(t, &failing{after: frameSize / 2})
	piece := text(frameSize)
	for range 100 {
		if _, err := f.Write(piece); err != nil {
			if !errors.Is(err, errFull) || !errors.Is(f.Close(), errFull) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("100 MiB were taken for a writer that failed")
}

// The peak of a process that allocates is twice what it holds.
func TestFrames_ReuseTheirBuffers(t *testing.T) {
	f := framesTo(t, io.Discard)
	piece := text(frameSize)
	write := func() {
		if _, err := f.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		write()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const many = 50
	for range many {
		write()
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / many; each > frameSize/10 {
		t.Errorf("%d bytes are allocated for each frame of %d", each, frameSize)
	}
}
