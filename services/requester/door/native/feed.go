package native

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/filter"
	"github.com/backupbus/backupbus/services/requester/intake"
)

// Start is where reading the log begins: at a sequence, else at a time. The zero Start is now for those who follow,
// the first event for those who replay.
type Start struct {
	Seq  uint64
	Time time.Time
}

// Log is what the event stream reads from. Sequences are those of the log that epoch names. Calls of fn come in the
// order of the log; its error ends the reading and is returned.
type Log interface {
	// Follow calls fn for each event of all projects from a sequence on, with the token of its project, until ctx ends.
	Follow(ctx context.Context, from uint64, fn func(token string, ev events.Stored) error) error
	// FollowProgress calls fn for each new progress of all backups and restores until ctx ends.
	FollowProgress(ctx context.Context, fn func(token string, ev events.Stored) error) error
	// Replay calls fn for what is stored now of a project, and says up to which sequence that was.
	Replay(ctx context.Context, project string, start Start, fn func(events.Stored) error) (end uint64, err error)
	// Event is one event by its id; false if there is none.
	Event(ctx context.Context, project, id string) (events.Stored, bool, error)
	// AsOf is what the log said at a past time.
	AsOf(ctx context.Context, project string, at time.Time) (Past, error)
	// Position is the log's epoch and last sequence.
	Position(ctx context.Context) (epoch string, last uint64, err error)
	// Whole is the moment from which on the log has all events, and the first sequence that was stored then or later.
	Whole(ctx context.Context, now time.Time) (since time.Time, first uint64, err error)
	// Stopping is closed when a server has to stop.
	Stopping(ctx context.Context) <-chan struct{}
}

// Past is the state of a project at one moment; what was not there is events.ErrNotFound.
type Past interface {
	Backup(ctx context.Context, project, id string) (events.Backup, error)
	Backups(ctx context.Context, project, instance, cursor string, limit int) ([]events.Backup, string, error)
}

// feed is what a client asked for, of which project, and from where on (events.md 6.2, 6.3).
type feed struct {
	project string
	interest
	epoch string
	start Start
	lost  bool // the cursor is of another log: start over, and say so
	last  uint64
}

// interest is which events a client wants.
type interest struct {
	types    []string
	instance string // token
	backup   string
	sql      filter.Filter
}

// openFeed reads the parameters; its errors are answers.
func (d *Door) openFeed(ctx context.Context, in *feedInput) (*feed, error) {
	f := &feed{project: norm.NFC.String(in.Project)}
	if _, err := events.Token(f.project); err != nil {
		return nil, badRequest("project: " + err.Error())
	}
	var err error
	if f.interest, err = interestOf(in); err != nil {
		return nil, err
	}
	if f.epoch, f.last, err = d.log.Position(ctx); err != nil {
		return nil, d.problem(ctx, err)
	}
	cursor := in.LastEventID
	if cursor == "" {
		cursor = in.Cursor
	}
	switch {
	case cursor != "":
		of, seq, ok := strings.Cut(cursor, "-")
		n, err := strconv.ParseUint(seq, 10, 63)
		if !ok || err != nil {
			return nil, badRequest("the cursor is not one that this stream gave")
		}
		f.start.Seq = n + 1
		if of != f.epoch || n > f.last {
			f.start.Seq, f.lost = 1, true
		}
	case in.Since != "":
		if f.start.Time, err = time.Parse(time.RFC3339, in.Since); err != nil {
			return nil, badRequest("since is not an RFC 3339 time")
		}
	}
	return f, nil
}

func interestOf(in *feedInput) (interest, error) {
	i := interest{backup: in.Backup}
	for _, t := range in.Type {
		i.types = append(i.types, strings.TrimPrefix(t, typeRoot))
	}
	var err error
	if in.Instance != "" {
		if i.instance, err = events.Token(norm.NFC.String(in.Instance)); err != nil {
			return i, badRequest("instance: " + err.Error())
		}
	}
	if in.Filter != "" {
		if i.sql, err = filter.ParseSQL(in.Filter); err != nil {
			return i, badRequest("filter: " + err.Error())
		}
	}
	return i, nil
}

const typeRoot = "dev.backupbus."

// wants tells whether an event is asked for. An expression that fails on it, for want of an attribute say, has not
// asked for it (events.md 7.3).
func (i interest) wants(ev events.Event) bool {
	if i.backup != "" && ev.PartitionKey != i.backup || i.instance != "" && ev.Instance != i.instance {
		return false
	}
	if len(i.types) > 0 && !i.ofType(strings.TrimPrefix(ev.Type, typeRoot)) {
		return false
	}
	ok, err := i.sql.Match(ev)
	return ok && err == nil
}

func (i interest) ofType(have string) bool {
	for _, want := range i.types {
		if prefix, ok := strings.CutSuffix(want, "*"); ok && strings.HasPrefix(have, prefix) || want == have {
			return true
		}
	}
	return false
}

// cursor of a place in the log: {epoch}-{stream sequence}.
func (f *feed) cursor(seq uint64) string { return f.epoch + "-" + strconv.FormatUint(seq, 10) }

func badRequest(what string) error {
	return &problem{Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest,
		Reason: string(intake.SchemaViolation), Detail: what}
}
