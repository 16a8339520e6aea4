package remote

import (
	"context"
	"io"

	"gocloud.dev/blob"
)

// uploads makes writers of Bucket.Upload. The one that azureblob has of its own (gocloud.dev v0.47.0) takes its pipe away
// when an upload fails, and panics when it is closed then: after every upload that was cancelled or refused. Azure's SDK
// tells of a block that was refused only when it has read all that comes, so such an upload fails at its end.
func uploads(b *blob.Bucket) func(context.Context, string, *blob.WriterOptions) (io.WriteCloser, error) {
	return func(ctx context.Context, key string, o *blob.WriterOptions) (io.WriteCloser, error) {
		r, w := io.Pipe()
		further := *o
		further.MaxConcurrency++ // of Azure's blocks the one that fills is one of them
		u := &upload{ctx: ctx, PipeWriter: w, done: make(chan struct{})}
		go func() {
			defer close(u.done)
			u.err = b.Upload(ctx, key, r, &further)
			_ = r.CloseWithError(u.err) // nil: io.ErrClosedPipe, for who writes after Close
		}()
		return u, nil
	}
}

// upload is an object on its way.
type upload struct {
	*io.PipeWriter
	ctx  context.Context
	done chan struct{}
	err  error // when done
}

// Close ends the object, if ctx has not ended, and tells whether it is stored.
func (u *upload) Close() error {
	_ = u.CloseWithError(u.ctx.Err()) // nil: the end of the object
	<-u.done
	return u.err
}
