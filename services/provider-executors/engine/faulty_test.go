package engine

import (
	"context"
	"errors"
	"io"
	"net/url"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
)

// faulty is a storage in memory whose calls a test can hold or fail; nil: they work. The context is the call's.
type faulty struct {
	*blob.Bucket
	write  func(ctx context.Context, key string) error
	read   func(ctx context.Context, key string) error
	remove func(ctx context.Context, key string) error
}

// withFaulty adds f as the storage offsite.
func withFaulty(t *testing.T, f *faulty) func(*Deps, *archive.Options) {
	t.Helper()
	f.Bucket = memblob.OpenBucket(nil)
	return func(_ *Deps, o *archive.Options) {
		o.URLs["offsite"] = "faulty://offsite"
		o.Openers = map[string]archive.Opener{"faulty": func(context.Context, *url.URL) (archive.Remote, error) {
			return archive.Remote{Bucket: blob.NewBucket(&faultyDriver{f})}, nil
		}}
	}
}

// keys are those of all objects.
func (f *faulty) keys(t *testing.T) (all []string) {
	t.Helper()
	for it := f.List(nil); ; {
		o, err := it.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o.Key)
	}
}

type faultyDriver struct{ f *faulty }

func ask(ctx context.Context, f func(context.Context, string) error, key string) error {
	if f == nil {
		return nil
	}
	return f(ctx, key)
}

func (d *faultyDriver) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }
func (d *faultyDriver) As(any) bool                            { return false }
func (d *faultyDriver) ErrorAs(error, any) bool                { return false }
func (d *faultyDriver) Close() error                           { return d.f.Close() }

func (d *faultyDriver) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := d.f.Attributes(ctx, key)
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{ContentType: a.ContentType, ModTime: a.ModTime, Size: a.Size}, nil
}

func (d *faultyDriver) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	var page driver.ListPage
	for it := d.f.List(&blob.ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter}); ; {
		b, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return &page, nil
		}
		if err != nil {
			return nil, err
		}
		page.Objects = append(page.Objects, &driver.ListObject{Key: b.Key, ModTime: b.ModTime, Size: b.Size})
	}
}

func (d *faultyDriver) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	if err := ask(ctx, d.f.read, key); err != nil {
		return nil, err
	}
	r, err := d.f.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		return nil, err
	}
	return &faultyReader{r}, nil
}

type faultyReader struct{ *blob.Reader }

func (r *faultyReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: r.ContentType(), ModTime: r.ModTime(), Size: r.Size()}
}

func (r *faultyReader) As(any) bool { return false }

func (d *faultyDriver) NewTypedWriter(ctx context.Context, key, kind string, _ *driver.WriterOptions) (driver.Writer, error) {
	w, err := d.f.NewWriter(ctx, key, &blob.WriterOptions{ContentType: kind})
	if err != nil {
		return nil, err
	}
	return &faultyWriter{w, ctx, key, d.f}, nil
}

type faultyWriter struct {
	*blob.Writer
	ctx context.Context
	key string
	f   *faulty
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if err := ask(w.ctx, w.f.write, w.key); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

func (d *faultyDriver) Copy(ctx context.Context, to, from string, _ *driver.CopyOptions) error {
	return d.f.Copy(ctx, to, from, nil)
}

func (d *faultyDriver) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	if err := ask(ctx, d.f.remove, key); err != nil {
		return err
	}
	return d.f.Delete(ctx, key)
}

func (d *faultyDriver) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errors.ErrUnsupported
}
