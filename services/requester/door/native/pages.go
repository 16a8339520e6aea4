package native

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
)

const (
	maxPage   = 4 << 20 // bytes of one page; one that would be longer ends earlier and has a next one
	maxLooked = 20_000  // events that are looked at for one page
	// maxSkew is how far the clock that gave an event its time may be behind the log's: events come in the order of
	// the log, not of their times.
	maxSkew = time.Minute
	// maxReading is how many requests read the log at once, for pages or a past state; others wait.
	maxReading = 8
)

// errFull ends the reading of a page.
var errFull = errors.New("the page is full")

// page answers with a part of what is stored, as a CloudEvents batch (events.md 6.3).
func (d *Door) page(ctx context.Context, f *feed, in *feedInput) (*huma.StreamResponse, error) {
	var until time.Time
	if in.Until != "" {
		var err error
		if until, err = time.Parse(time.RFC3339, in.Until); err != nil {
			return nil, badRequest("until is not an RFC 3339 time")
		}
	}
	truncated, err := d.reset(ctx, f)
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	leave, err := d.reading.enter(ctx)
	if err != nil {
		return nil, d.problem(ctx, err)
	}
	defer leave()
	batch := []byte{'['}
	at := max(f.start.Seq, 1) - 1 // the last one looked at
	late := uint64(0)             // the first that is not before until
	more, n, looked := false, 0, 0
	end, err := d.log.Replay(ctx, f.project, f.start, func(ev events.Stored) error {
		if looked++; looked > maxLooked {
			more = true
			return errFull
		}
		if !until.IsZero() && ev.Kept.After(until.Add(maxSkew)) {
			return errFull
		}
		if early := until.IsZero() || ev.Time.Before(until); !early {
			if late == 0 {
				late = ev.Seq
			}
		} else if f.wants(ev.Event) {
			line, err := events.Structured(ev.Event)
			if err != nil {
				return err
			}
			if n == in.Limit || n > 0 && len(batch)+len(line) > maxPage {
				more = true
				return errFull
			}
			if n > 0 {
				batch = append(batch, ',')
			}
			batch = append(batch, line...)
			n++
		}
		at = ev.Seq
		return nil
	})
	switch {
	case errors.Is(err, errFull):
	case err != nil:
		return nil, d.problem(ctx, err)
	default:
		at = max(at, end)
	}
	if !more && late > 0 {
		at = late - 1 // whoever goes on from here misses nothing
	}
	batch = append(batch, ']', '\n')
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", batchType)
		hc.SetHeader("Cache-Control", "no-store")
		hc.SetHeader("Backupbus-Next-Cursor", f.cursor(at))
		if truncated != "" {
			hc.SetHeader("Backupbus-Truncated", "true")
		}
		if more {
			u := hc.URL()
			hc.SetHeader("Link", "<"+nextPage(u, f.cursor(at))+`>; rel="next"`)
		}
		hc.SetStatus(http.StatusOK)
		_, _ = hc.BodyWriter().Write(batch) // a client that has gone cannot be told
	}}, nil
}

// nextPage is the same request after a cursor.
func nextPage(u url.URL, cursor string) string {
	q := u.Query()
	q.Del("since")
	q.Set("cursor", cursor)
	return "/api" + u.EscapedPath() + "?" + q.Encode()
}

// reading lets some requests at a time read the log.
type reading chan struct{}

func (r reading) enter(ctx context.Context) (leave func(), err error) {
	select {
	case r <- struct{}{}:
		return func() { <-r }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
