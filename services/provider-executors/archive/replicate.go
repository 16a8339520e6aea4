package archive

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// SourceError is an error of the copy that is read while another is made of it.
type SourceError struct{ Err error }

// Error says what it met.
func (e *SourceError) Error() string { return "the copy that is copied: " + e.Err.Error() }

// Unwrap is what it met.
func (e *SourceError) Unwrap() error { return e.Err }

// CopyTo stores the objects of m, which lie at c, at to, and the manifest after them. What is read is compared
// with m on the way: a fault of c is a *SourceError. After an error the caller removes what is at to, except after
// ALREADY_EXISTS: a complete copy that is there already is left alone.
func (c *Copy) CopyTo(ctx context.Context, to *Copy, m Manifest) error {
	for _, o := range m.Objects {
		if err := to.takes(o); err != nil {
			return err
		}
	}
	if err := to.RefuseFinished(ctx); err != nil {
		return err
	}
	for _, o := range m.Objects {
		if err := c.copyObject(ctx, to, o); err != nil {
			return fmt.Errorf("copy %s: %w", o.Name, err)
		}
	}
	return to.WriteManifest(ctx, m)
}

// takes refuses at once an object that is larger than one of a remote storage can be.
func (c *Copy) takes(o Object) error {
	if c.at.dir != "" || o.StoredBytes <= maxPart*maxParts {
		return nil
	}
	return &events.Failure{Code: events.ProviderRejected, Category: events.ByUser, Message: fmt.Sprintf(
		"an object of the copy has %d bytes, and one in storage %q can have at most %d: copy it to a file storage, or divide the instance",
		o.StoredBytes, c.at.name, int64(maxPart*maxParts))}
}

func (c *Copy) copyObject(ctx context.Context, to *Copy, o Object) error {
	r, err := c.open(ctx, o.Name)
	if err != nil {
		return c.ofSource(err)
	}
	defer r.Close()
	out, err := to.at.create(ctx, to.prefix+o.Name, o.StoredBytes)
	if err != nil {
		return err
	}
	defer out.abort() // harmless after commit
	from := verify(ctx, r, o)
	w := &noting{to: &living{to.at.limit.writer(ctx, out), executor.Alive(ctx)}}
	if _, err := io.Copy(w, from); err != nil {
		if w.err != nil {
			return w.err
		}
		if errors.Is(err, errTooLong) {
			err = differs(err)
		}
		return c.ofSource(c.readFailure(from, err))
	}
	if err := from.verdict(o); err != nil {
		return c.ofSource(err)
	}
	return out.commit()
}

func (c *Copy) ofSource(err error) error { return &SourceError{err} }

// living says of every write that the copy goes on.
type living struct {
	to    io.Writer
	alive func()
}

func (w *living) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if n > 0 {
		w.alive()
	}
	return n, err
}
