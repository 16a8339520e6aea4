package archive

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// limit is the bandwidth of one storage, shared by all uploads to it; nil: none.
type limit struct{ *rate.Limiter }

// limitChunk is how much passes at once.
const limitChunk = 64 << 10

func newLimit(bytesPerSecond int64) *limit {
	if bytesPerSecond <= 0 {
		return nil
	}
	return &limit{rate.NewLimiter(rate.Limit(bytesPerSecond), limitChunk)}
}

// writer is to, held back to the limit.
func (l *limit) writer(ctx context.Context, to io.Writer) io.Writer {
	if l == nil {
		return to
	}
	return &limited{ctx: ctx, limit: l, to: to}
}

type limited struct {
	ctx   context.Context
	limit *limit
	to    io.Writer
}

func (w *limited) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		part := p[done:min(done+limitChunk, len(p))]
		if err := w.limit.WaitN(w.ctx, len(part)); err != nil {
			if w.ctx.Err() != nil {
				err = w.ctx.Err()
			}
			return done, err
		}
		n, err := w.to.Write(part)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
