package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Further are the places of the storages that r names beside its first: the same key in each.
func (s *Storages) Further(r executor.Ref) ([]*Copy, error) {
	first, err := s.At(r)
	if err != nil {
		return nil, err
	}
	var all []*Copy
	for _, name := range r.CopiedTo {
		st, err := s.storage(name)
		if err != nil {
			return nil, err
		}
		if st != first.at {
			all = append(all, &Copy{at: st, prefix: first.prefix})
		}
	}
	return all, nil
}

// CopyTo stores the objects of m, which lie at c, at to, and the manifest after them. What is read is compared
// with m on the way; moved hears of stored bytes. After an error nothing of it is at to. A complete copy that
// is there already is left alone: ALREADY_EXISTS.
func (c *Copy) CopyTo(ctx context.Context, to *Copy, m Manifest, moved func(n int64)) error {
	if err := to.RefuseFinished(ctx); err != nil {
		return err
	}
	for _, o := range m.Objects {
		if err := c.copyObject(ctx, to, o, moved); err != nil {
			return errors.Join(fmt.Errorf("copy %s: %w", o.Name, err), to.abandon(ctx))
		}
	}
	if err := to.WriteManifest(ctx, m); err != nil {
		return errors.Join(err, to.abandon(ctx))
	}
	return nil
}

func (c *Copy) copyObject(ctx context.Context, to *Copy, o Object, moved func(n int64)) error {
	r, err := c.open(ctx, o.Name)
	if err != nil {
		return err
	}
	defer r.Close()
	out, err := to.at.create(ctx, to.prefix+o.Name, o.StoredBytes)
	if err != nil {
		return err
	}
	defer out.abort() // harmless after commit
	from := &verifying{ctx: ctx, from: r, hash: sha256.New(), max: o.StoredBytes}
	w := &noting{to: to.at.limit.writer(ctx, out)}
	if _, err := io.Copy(&telling{w, moved}, from); err != nil {
		if w.err != nil {
			return w.err
		}
		return c.readFailure(from, err)
	}
	if err := from.verdict(o); err != nil {
		return err
	}
	return out.commit()
}

// telling reports what was written.
type telling struct {
	to   io.Writer
	tell func(n int64)
}

func (w *telling) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.tell(int64(n))
	return n, err
}
