package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// maxWindow bounds the memory a decoder may be told to use: enough for every ordinary level of zstd.
const maxWindow = 8 << 20

// Matches compares the checksum that a record keeps with the manifest's; nil matches.
func (m Manifest) Matches(want *events.Checksum) error {
	if want == nil {
		return nil
	}
	if *want != *m.Checksum() {
		return corrupt("the copy in the storage is not the one that was recorded: its checksum differs", nil)
	}
	return nil
}

// Check reads every object whole and compares size and checksum, for which no key is needed. It returns the
// bytes read. CORRUPT: they differ. NOT_FOUND: an object is gone.
func (c *Copy) Check(ctx context.Context, m Manifest) (int64, error) {
	var total int64
	for _, o := range m.Objects {
		n, err := c.check(ctx, o)
		if total += n; err != nil {
			return total, fmt.Errorf("check %s: %w", o.Name, err)
		}
	}
	return total, nil
}

func (c *Copy) check(ctx context.Context, o Object) (int64, error) {
	r, err := c.open(ctx, o.Name)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	sum := verify(ctx, r, o)
	if _, err := io.Copy(io.Discard, sum); err != nil {
		return sum.n, c.readFailure(sum, err)
	}
	return sum.n, sum.verdict(o)
}

// Complete tells whether the manifest is there, and every object with its size. No object is read.
func (c *Copy) Complete(ctx context.Context, m Manifest) (bool, error) {
	var f *events.Failure
	switch own, err := c.ReadManifest(ctx); {
	case errors.As(err, &f) && (f.Code == events.NotFound || f.Code == events.Corrupt):
		return false, nil
	case err != nil:
		return false, err
	case own.Matches(m.Checksum()) != nil:
		return false, nil
	}
	for _, o := range m.Objects {
		a, err := c.at.bucket.Attributes(ctx, c.prefix+o.Name)
		if c.at.code(err) == gcerrors.NotFound {
			return false, nil
		}
		if err != nil {
			return false, c.at.fail("look into", err)
		}
		if a.Size != o.StoredBytes {
			return false, nil
		}
	}
	return true, nil
}

// Unlock finds out, from the head of each object, that the encrypted ones can be opened here.
// PERMISSION_DENIED: none of the executor's identities does.
func (c *Copy) Unlock(ctx context.Context, m Manifest) error {
	for _, o := range m.Objects {
		if o.Encryption != Age {
			continue
		}
		if err := c.unlock(ctx, o); err != nil {
			return fmt.Errorf("unlock %s: %w", o.Name, err)
		}
	}
	return nil
}

func (c *Copy) unlock(ctx context.Context, o Object) error {
	r, err := c.open(ctx, o.Name)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := verify(ctx, r, o)
	if _, err := c.decrypt(sum); err != nil {
		return c.readFailure(sum, err)
	}
	return nil
}

// Extract decrypts and decompresses an object into w and returns the bytes written. Only a nil error means
// that w got the complete source: size, checksum and decompressed size are compared at the end, so use
// what was written only then. It never writes more than the object's sourceBytes, and the decoder's
// memory is bounded. An error of w comes back wrapped as it is.
func (c *Copy) Extract(ctx context.Context, o Object, w io.Writer) (int64, error) {
	r, err := c.open(ctx, o.Name)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", o.Name, err)
	}
	defer r.Close()
	sum := verify(ctx, r, o)
	var packed io.Reader = sum
	if o.Encryption == Age {
		if packed, err = c.decrypt(sum); err != nil {
			return 0, c.readFailure(sum, err)
		}
	}
	dec, err := zstd.NewReader(packed, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(2))
	if err != nil {
		return 0, fmt.Errorf("set up zstd: %w", err)
	}
	defer dec.Close()

	out := &noting{to: w}
	n, err := io.Copy(out, io.LimitReader(dec, o.SourceBytes+1))
	switch {
	case out.err != nil:
		return n, fmt.Errorf("extract %s: %w", o.Name, out.err)
	case err != nil:
		return n, c.readFailure(sum, err)
	case n != o.SourceBytes:
		return n, corrupt("the stored object does not hold what its manifest says: the copy is damaged",
			fmt.Errorf("%d bytes and not %d", n, o.SourceBytes))
	}
	if _, err := io.Copy(io.Discard, sum); err != nil { // what follows the last frame
		return n, c.readFailure(sum, err)
	}
	return n, sum.verdict(o)
}

// open reads an object of the copy.
func (c *Copy) open(ctx context.Context, object string) (*blob.Reader, error) {
	r, err := c.at.bucket.NewReader(ctx, c.prefix+object, nil)
	if c.at.code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("%w: %w", notFound("the copy is not in storage %q: it was removed, or never completed", c.at.name), err)
	}
	if err != nil {
		return nil, c.at.fail("read from", err)
	}
	return r, nil
}

// readFailure tells a storage that could not be read from bytes that make no sense.
func (c *Copy) readFailure(r *verifying, err error) error {
	if r.err != nil {
		return c.at.fail("read from", r.err)
	}
	if isFailure(err) {
		return err
	}
	return corrupt("the stored object cannot be decompressed: the copy is damaged", err)
}

var errTooLong = errors.New("the object is longer than its manifest says")

// verifying hashes and counts what is read, and keeps the error of the source apart from its reader's.
type verifying struct {
	ctx  context.Context
	from io.Reader
	hash hash.Hash
	max  int64
	n    int64
	err  error

	alive func()
}

func verify(ctx context.Context, r io.Reader, o Object) *verifying {
	return &verifying{ctx: ctx, from: r, hash: sha256.New(), max: o.StoredBytes, alive: executor.Alive(ctx)}
}

func (v *verifying) Read(p []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		v.err = err
		return 0, err
	}
	n, err := v.from.Read(p)
	v.hash.Write(p[:n])
	v.n += int64(n)
	if n > 0 {
		v.alive()
	}
	if v.n > v.max {
		return 0, errTooLong
	}
	if err != nil && err != io.EOF {
		v.err = err
	}
	return n, err
}

func (v *verifying) verdict(o Object) error {
	if got := hex.EncodeToString(v.hash.Sum(nil)); v.n != o.StoredBytes || got != o.SHA256 {
		return differs(fmt.Errorf("%d bytes with %s", v.n, got))
	}
	return nil
}

func differs(why error) error {
	return corrupt("the stored object differs from its manifest: the copy is damaged", why)
}

// noting remembers the error of the writer, which io.Copy does not tell from the reader's.
type noting struct {
	to  io.Writer
	err error
}

func (w *noting) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}
