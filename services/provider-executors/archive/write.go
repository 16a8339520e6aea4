package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"gocloud.dev/blob"

	"github.com/backupbus/backupbus/events"
)

// Zstd is the compression that Write applies.
const Zstd = "zstd"

// window bounds the memory of both sides; measured to cost no bytes on dumps.
const window = 1 << 20

// cleanupTime bounds the removal of what a failed write left, which goes on when the caller's context
// has ended.
const cleanupTime = time.Minute

// Stored is what a finished object is.
type Stored struct {
	Size   int64  // bytes in the storage
	SHA256 string // of those bytes, lower-case hex
	Source int64  // bytes that came in
}

// Write compresses what produce writes and stores it as object. The object appears only when produce
// and every stage after it ended without error; otherwise nothing of this attempt remains, the
// manifest included. A copy that already has a manifest is left alone: ALREADY_EXISTS.
//
// The error of produce comes back wrapped. produce runs on the calling goroutine and sees the end of
// ctx as the error of its next write.
func (c *Copy) Write(ctx context.Context, object string, produce func(io.Writer) error) (Stored, error) {
	if err := c.refuseFinished(ctx); err != nil {
		return Stored{}, err
	}
	returned := false
	defer func() {
		if !returned { // produce panicked
			_ = c.abandon(ctx)
		}
	}()
	st, err := c.write(ctx, object, produce)
	returned = true
	if err != nil {
		return Stored{}, errors.Join(fmt.Errorf("store %s: %w", object, err), c.abandon(ctx))
	}
	return st, nil
}

func (c *Copy) write(ctx context.Context, object string, produce func(io.Writer) error) (Stored, error) {
	out, err := c.at.create(ctx, c.prefix+object)
	if err != nil {
		return Stored{}, err
	}
	sum := &summing{to: out, hash: sha256.New()}
	enc, err := zstd.NewWriter(sum, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(2),
		zstd.WithWindowSize(window), zstd.WithZeroFrames(true))
	if err != nil {
		out.abort()
		return Stored{}, fmt.Errorf("set up zstd: %w", err)
	}
	defer func() { // Harmless after commit. In this order: zstd writes from a goroutine of its own, which has to
		out.refuse() // end before the object's writer is closed.
		enc.Reset(nil)
		out.abort()
	}()
	in := &counting{ctx: ctx, to: enc}
	if err := produce(in); err != nil {
		return Stored{}, err
	}
	if err := enc.Close(); err != nil {
		return Stored{}, fmt.Errorf("compress: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return Stored{}, err
	}
	if err := out.commit(); err != nil {
		return Stored{}, err
	}
	return Stored{Size: sum.n, SHA256: hex.EncodeToString(sum.hash.Sum(nil)), Source: in.n}, nil
}

// abandon removes what a failed write left, also when ctx has ended.
func (c *Copy) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	_, err := c.Delete(ctx)
	return err
}

func (c *Copy) refuseFinished(ctx context.Context) error {
	found, err := c.at.bucket.Exists(ctx, c.prefix+manifestName)
	if err != nil {
		return c.at.fail("look into", err)
	}
	if found {
		return &events.Failure{Code: events.AlreadyExists, Category: events.BySystem,
			Message: "this attempt has already stored a complete copy"}
	}
	return nil
}

// put stores a small object whole or not at all.
func (st *storage) put(ctx context.Context, key string, data []byte) error {
	out, err := st.create(ctx, key)
	if err != nil {
		return err
	}
	defer out.abort()
	if _, err := out.Write(data); err != nil {
		return err
	}
	return out.commit()
}

// upload is one object on its way. It appears under its key with commit, and never after abort.
type upload struct {
	st     *storage
	key    string
	w      *blob.Writer
	file   *os.File // of a file storage
	cancel context.CancelFunc
	ended  bool
	closed atomic.Bool
}

func (st *storage) create(ctx context.Context, key string) (*upload, error) {
	ctx, cancel := context.WithCancel(ctx)
	u := &upload{st: st, key: key, cancel: cancel}
	w, err := st.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: "application/octet-stream", // said, so that the writer need not sniff
		BeforeWrite: u.private,
	})
	if err != nil {
		cancel()
		return nil, st.fail("write to", err)
	}
	u.w = w
	return u, nil
}

// private gets hold of the temporary file of a file storage and takes it from other users.
func (u *upload) private(as func(any) bool) error {
	var f *os.File
	if !as(&f) {
		return nil
	}
	u.file = f
	return f.Chmod(0o600)
}

// refuse ends writing from any goroutine; commit and abort are still to come.
func (u *upload) refuse() { u.closed.Store(true) }

func (u *upload) Write(p []byte) (int, error) {
	if u.closed.Load() {
		return 0, context.Canceled
	}
	n, err := u.w.Write(p)
	if err != nil {
		return n, u.st.fail("write to", err)
	}
	return n, nil
}

// commit makes the object durable and visible.
func (u *upload) commit() error {
	if u.file != nil {
		if err := u.file.Sync(); err != nil { // fileblob does not
			return u.st.fail("write to", err)
		}
	}
	u.ended = true
	defer u.cancel()
	if err := u.w.Close(); err != nil {
		return u.st.fail("write to", err)
	}
	return u.st.syncFolders(u.key)
}

// abort cancels before it closes: Close alone would commit what is there.
func (u *upload) abort() {
	if u.ended {
		return
	}
	u.ended = true
	u.cancel()
	_ = u.w.Close() // reports the cancellation
}

// syncFolders makes the name of a new file durable, from its folder up to the storage's own.
func (st *storage) syncFolders(key string) error {
	if st.dir == "" {
		return nil
	}
	for dir := filepath.Dir(key); ; dir = filepath.Dir(dir) {
		f, err := os.Open(filepath.Join(st.dir, dir))
		if err != nil {
			return st.fail("write to", err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return st.fail("write to", err)
		}
		if dir == "." {
			return nil
		}
	}
}

// counting counts what comes in and stops at the end of ctx.
type counting struct {
	ctx context.Context
	to  io.Writer
	n   int64
}

func (w *counting) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.to.Write(p)
	w.n += int64(n)
	return n, err
}

// summing hashes and counts what has been stored.
type summing struct {
	to   io.Writer
	hash hash.Hash
	n    int64
}

func (w *summing) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.hash.Write(p[:n])
	w.n += int64(n)
	return n, err
}
