package archive

import (
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// frames compresses a stream on several cores: each mebibyte becomes a frame of its own, and decoders read frames in
// a row as one stream (RFC 8878, 3).
//
// It reuses its buffers. The library's own way to use several cores (WithConcurrentBlocks) allocates as it goes, which
// lets the heap grow to twice what lives: with an upload's parts beside it, beyond what a backup may need.
type frames struct {
	encoder *zstd.Encoder
	filling *frame      // nil: closed
	free    chan *frame // with nothing in them
	packing chan *frame // for the goroutines that compress
	ordered chan *frame // for the one that writes
	ended   chan struct{}

	mu  sync.Mutex
	err error // of the writer
}

// frameSize is as long as level 1 of the zstd program looks back on a stream, twice.
const frameSize = 1 << 20

type frame struct {
	plain, packed []byte
	done          chan struct{}
}

// newFrames has as many threads as the process can use at once, at most. The library's slowest level is left out: each of
// its threads has tables of 34 MiB.
func newFrames(to io.Writer, level, threads int) (*frames, error) {
	threads = min(threads, runtime.GOMAXPROCS(0))
	speed := min(zstd.EncoderLevelFromZstd(level), zstd.SpeedBetterCompression)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(threads),
		zstd.WithAllLitEntropyCompression(true), // without, hex, in which nothing repeats, is stored as it is
		zstd.WithWindowSize(frameSize), zstd.WithZeroFrames(true))
	if err != nil {
		return nil, err
	}
	all := threads + 2 // one is filled, one is written
	f := &frames{encoder: enc, free: make(chan *frame, all), packing: make(chan *frame, all), ordered: make(chan *frame, all), ended: make(chan struct{})}
	for range all {
		f.free <- &frame{plain: make([]byte, 0, frameSize), packed: make([]byte, 0, enc.MaxEncodedSize(frameSize)), done: make(chan struct{}, 1)}
	}
	f.filling = <-f.free
	for range threads {
		go f.pack()
	}
	go f.write(to)
	return f, nil
}

func (f *frames) pack() {
	for fr := range f.packing {
		fr.packed = f.encoder.EncodeAll(fr.plain, fr.packed[:0])
		fr.done <- struct{}{}
	}
}

func (f *frames) write(to io.Writer) {
	defer close(f.ended)
	for fr := range f.ordered {
		<-fr.done
		if f.failed() == nil {
			if _, err := to.Write(fr.packed); err != nil {
				f.mu.Lock()
				f.err = err
				f.mu.Unlock()
			}
		}
		fr.plain = fr.plain[:0]
		f.free <- fr
	}
}

func (f *frames) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Write returns the error of the writer behind as soon as it is known.
func (f *frames) Write(p []byte) (n int, err error) {
	if f.filling == nil {
		return 0, os.ErrClosed
	}
	for len(p) > 0 {
		if err := f.failed(); err != nil {
			return n, err
		}
		some := min(len(p), frameSize-len(f.filling.plain))
		f.filling.plain = append(f.filling.plain, p[:some]...)
		p, n = p[some:], n+some
		if len(f.filling.plain) == frameSize {
			f.send()
			f.filling = <-f.free
		}
	}
	return n, nil
}

func (f *frames) send() {
	f.ordered <- f.filling
	f.packing <- f.filling
}

// Close writes what is left, and one frame at least.
func (f *frames) Close() error {
	if f.filling != nil {
		f.send() // may be empty, behind others: a frame of nothing
		f.end()
	}
	return f.failed()
}

// abort drops what is left. The writer behind must not hang.
func (f *frames) abort() {
	if f.filling != nil {
		f.end()
	}
}

func (f *frames) end() {
	f.filling = nil
	close(f.packing)
	close(f.ordered)
	<-f.ended
}
