package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// Dead is a dead letter as it is kept for 30 days.
type Dead struct {
	Sequence   uint64 // its own place among the dead letters
	Project    string // token; empty where nobody could tell
	Service    string
	Reason     string
	Stream     string // of the message
	StreamSeq  uint64
	Subject    string
	Deliveries int
	Error      string
	Time       time.Time
	Header     map[string][]string // of the message, without what the bus added
	Data       []byte
}

// DeadLetterFilter picks dead letters. Project is a token, empty for those of no project; Service and Reason may
// be empty.
type DeadLetterFilter struct {
	Project, Service, Reason string
	After                    uint64 // the sequence behind which to go on
	Limit                    int    // at least 1
}

var (
	// ErrNotRedrivable: the message cannot be given to anybody again. The text says why, and what to do instead.
	ErrNotRedrivable = errors.New("cannot be redriven")
	errGone          = fmt.Errorf("dead letter: %w", events.ErrNotFound)
)

// DeadLetters lists what the filter picks, the oldest first. next is the After of the page behind, 0 at the end.
func (b *Bus) DeadLetters(ctx context.Context, f DeadLetterFilter) (list []Dead, next uint64, err error) {
	filter, err := f.subject()
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	s, err := b.js.Stream(ctx, DeadLetterStream)
	if err != nil {
		return nil, 0, fmt.Errorf("list dead letters: %w", b.answer(ctx, err))
	}
	for seq := f.After + 1; ; {
		raw, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(filter))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return list, 0, nil
		case err != nil && len(list) > 0 && ctx.Err() != nil: // a shorter page; the next one goes on
			return list, list[len(list)-1].Sequence, nil
		case err != nil:
			return nil, 0, fmt.Errorf("list dead letters: %w", b.answer(ctx, err))
		case len(list) == max(f.Limit, 1):
			return list, list[len(list)-1].Sequence, nil
		}
		list = append(list, deadOf(raw))
		seq = raw.Sequence + 1
	}
}

func (f DeadLetterFilter) subject() (string, error) {
	service, reason := "*", "*"
	for _, w := range []struct {
		word string
		into *string
	}{{f.Service, &service}, {f.Reason, &reason}} {
		if strings.ContainsAny(w.word, ".*> \t\r\n") || len(w.word) > 64 {
			return "", errors.New("list dead letters: no name of a service or reason")
		}
		if w.word != "" {
			*w.into = w.word
		}
	}
	return events.DeadLetterSubject(service, f.Project, reason)
}

// DeadLetterAt reads one dead letter of a project (a token, empty for those of none): events.ErrNotFound if there is
// none under that sequence, or if it is another project's.
func (b *Bus) DeadLetterAt(ctx context.Context, project string, seq uint64) (Dead, error) {
	raw, err := b.message(ctx, DeadLetterStream, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Dead{}, errGone
	}
	if err != nil {
		return Dead{}, fmt.Errorf("read dead letter: %w", err)
	}
	d := deadOf(raw)
	if d.Project != project {
		return Dead{}, errGone
	}
	return d, nil
}

// Redrive gives the message of a dead letter to its consumer once more, by publishing it again on its own subject.
// The dead letter stays. Doing it again within the stream's duplicates window does nothing more: repeat.
//
// That is for what lay in a queue: commands. A webhook delivery that ended is replayed by the notifier. An event of BACKUP_EVENTS is in the log still, where
// nothing may be appended twice: its readers find it there (the tracker from its checkpoint, the scheduler when it
// starts), so that handing it over again would help none of them. It is ErrNotRedrivable, and so is a message of
// which only the SHA-256 was kept.
func (b *Bus) Redrive(ctx context.Context, d Dead) (repeat bool, err error) {
	switch {
	case d.Stream == EventStream || d.Stream == ProgressStream:
		return false, fmt.Errorf("%w: the event is in the log still, where its readers find it; mend the cause and restart the service", ErrNotRedrivable)
	case d.Stream != CommandStream:
		return false, fmt.Errorf("%w: nobody waits for messages of that stream any more", ErrNotRedrivable)
	case d.Reason == ForbiddenContent || strings.HasPrefix(string(d.Data), "sha256:"):
		return false, fmt.Errorf("%w: its content was not kept; have its sender send it again without what was forbidden", ErrNotRedrivable)
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ack, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: d.Subject, Header: nats.Header(d.Header), Data: d.Data},
		jetstream.WithMsgID("redrive-"+strconv.FormatUint(d.Sequence, 10)), jetstream.WithExpectStream(d.Stream))
	if err != nil {
		return false, fmt.Errorf("redrive: %w", b.answer(ctx, err))
	}
	return ack.Duplicate, nil
}

func deadOf(raw *jetstream.RawStreamMsg) Dead {
	d := Dead{Sequence: raw.Sequence, Header: map[string][]string{}, Data: raw.Data, Time: raw.Time}
	for name, values := range raw.Header {
		switch {
		case strings.HasPrefix(name, DeadLetterPrefix) && len(values) > 0:
			d.note(strings.TrimPrefix(name, DeadLetterPrefix), values[0])
		case !reserved(name):
			d.Header[name] = values
		}
	}
	if t := strings.Split(strings.TrimPrefix(raw.Subject, events.DeadLetterRoot+"."), "."); len(t) == 3 && t[1] != "_" {
		d.Project = t[1]
	}
	return d
}

// note takes one header that the bus put beside those of the message.
func (d *Dead) note(name, v string) {
	switch name {
	case "Reason":
		d.Reason = v
	case "Service":
		d.Service = v
	case "Stream":
		d.Stream = v
	case "Sequence":
		d.StreamSeq, _ = strconv.ParseUint(v, 10, 64) // the bus wrote it
	case "Subject":
		d.Subject = v
	case "Deliveries":
		d.Deliveries, _ = strconv.Atoi(v)
	case "Error":
		d.Error = v
	case "Time":
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			d.Time = t
		}
	}
}
