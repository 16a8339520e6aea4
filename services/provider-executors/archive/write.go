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

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// cleanupTime bounds the removal of what a failed write left, which goes on when the caller's context
// has ended.
const cleanupTime = 20 * time.Second

// Stream is what Write is told of what comes.
type Stream struct {
	Name      string   // of the object; gets the endings of compression and encryption, as dump.sql.zst.age
	EncryptTo []string // age recipients; none: not encrypted
	Expect    int64    // about how many bytes will come; 0: not known
}

// Write stores what produce writes as an object: compressed, and encrypted to the recipients if there are
// any. The object appears only when produce and every
// stage after it ended without error; otherwise nothing of this attempt remains, its other objects and
// the manifest included. A copy that already has a manifest is left alone: ALREADY_EXISTS.
//
// The error of produce comes back wrapped. produce runs on the calling goroutine and sees the end of
// ctx as the error of its next write.
func (c *Copy) Write(ctx context.Context, s Stream, produce func(io.Writer) error) (Object, error) {
	if err := c.RefuseFinished(ctx); err != nil {
		return Object{}, err
	}
	returned := false
	defer func() {
		if !returned { // produce panicked
			_ = c.abandon(ctx)
		}
	}()
	o, err := c.write(ctx, s, produce)
	returned = true
	if err != nil {
		return Object{}, errors.Join(fmt.Errorf("store %s: %w", s.Name, err), c.abandon(ctx))
	}
	return o, nil
}

func (c *Copy) write(ctx context.Context, s Stream, produce func(io.Writer) error) (Object, error) {
	o := Object{Name: s.Name + ".zst", Compression: Zstd}
	if len(s.EncryptTo) > 0 {
		o.Name, o.Encryption = o.Name+".age", Age
	}
	if !objectName.MatchString(o.Name) {
		return Object{}, fmt.Errorf("object %q is not a name", o.Name)
	}
	out, err := c.at.create(ctx, c.prefix+o.Name, s.Expect)
	if err != nil {
		return Object{}, err
	}
	sum := &summing{to: c.at.limit.writer(ctx, out), hash: sha256.New()}
	pack, err := c.packer(ctx, sum, s.EncryptTo)
	if err != nil {
		out.abort()
		return Object{}, err
	}
	defer func() { // Harmless after commit. In this order: who still writes has to end before the object's
		out.refuse() // writer is closed.
		pack.abort()
		out.abort()
	}()
	in := &counting{ctx: ctx, to: pack.Writer}
	if err := produce(in); err != nil {
		return Object{}, pack.reason(err)
	}
	if err := pack.Close(); err != nil {
		return Object{}, fmt.Errorf("compress: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return Object{}, err
	}
	if err := out.commit(); err != nil {
		return Object{}, err
	}
	o.StoredBytes, o.SHA256, o.SourceBytes = sum.n, hex.EncodeToString(sum.hash.Sum(nil)), in.n
	return o, nil
}

// abandon removes what a failed write left, also when ctx has ended.
func (c *Copy) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	_, err := c.Delete(ctx)
	return err
}

// RefuseFinished is ALREADY_EXISTS if the copy has a manifest: an attempt that meets one must not touch it.
func (c *Copy) RefuseFinished(ctx context.Context) error {
	switch _, err := c.at.bucket.Attributes(ctx, c.prefix+manifestName); { // Exists takes what is refused for none
	case err == nil:
		return &events.Failure{Code: events.AlreadyExists, Category: events.BySystem,
			Message: "this attempt has already stored a complete copy"}
	case c.at.code(err) != gcerrors.NotFound:
		return c.at.fail("look into", err)
	}
	return nil
}

// put stores a small object whole or not at all.
func (st *storage) put(ctx context.Context, key string, data []byte) error {
	out, err := st.create(ctx, key, 0)
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
	w      io.WriteCloser
	file   *os.File // of a file storage
	cancel context.CancelFunc
	ended  bool
	closed atomic.Bool
}

func (st *storage) create(ctx context.Context, key string, expect int64) (*upload, error) {
	ctx, cancel := context.WithCancel(ctx)
	u := &upload{st: st, key: key, cancel: cancel}
	size, atOnce := parts(expect)
	w, err := st.writer(ctx, key, &blob.WriterOptions{
		ContentType:    "application/octet-stream", // said, so that the writer need not sniff
		BeforeWrite:    u.private,
		BufferSize:     size, // of a remote storage
		MaxConcurrency: atOnce,
	})
	if err != nil {
		cancel()
		return nil, st.fail("write to", err)
	}
	u.w = w
	return u, nil
}

func (st *storage) writer(ctx context.Context, key string, o *blob.WriterOptions) (io.WriteCloser, error) {
	if st.newWriter != nil {
		return st.newWriter(ctx, key, o)
	}
	return st.bucket.NewWriter(ctx, key, o)
}

// S3 takes at most 10,000 parts of one object. Each part on its way is in memory, and one that fills.
const (
	maxParts    = 10_000
	minPart     = 8 << 20
	unknownPart = 16 << 20
	largePart   = 20 << 20 // a process stays well within 128 MiB
	maxPart     = 24 << 20 // of what is known to need it
)

// parts lets an object become four times as large as expected, as far as memory allows: 250 GB of compressed bytes is
// the most that one object can have in S3, if so much was expected; 160 GB if nothing was.
func parts(expect int64) (size, atOnce int) {
	size = unknownPart
	if expect > 0 {
		size = int(min(max(minPart, expect/maxParts*4), largePart))
	}
	if expect > largePart*maxParts {
		size = maxPart
	}
	if size > unknownPart { // while it goes, the next one fills
		return size, 1
	}
	return size, 2
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

// refuse ends writing from any goroutine, one that hangs in the storage too. After commit it is harmless;
// before, only abort may follow.
func (u *upload) refuse() {
	u.closed.Store(true)
	if !u.ended {
		u.cancel()
	}
}

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

// Pass implements tool.Passer.
func (w *counting) Pass(from *tool.Output, look func([]byte) error) (int64, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := tool.PassTo(w.to, from, look)
	w.n += n
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
