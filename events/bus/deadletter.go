package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// DeadLetterPrefix starts the headers that a dead letter has besides those of the message (events.md 4.5):
// Reason, Service, Stream, Sequence, Subject, Deliveries, Error, Time.
const DeadLetterPrefix = "Backupbus-Deadletter-"

const (
	maxDeadError = 1 << 10
	// deadLetterRoom is what a dead letter may be larger than the message in it.
	deadLetterRoom = 8 << 10
)

// DeadLetter stores m as it was received, with what went wrong (events.md 4.5). The caller then terminates
// or acks m. Calling it again for the same message and reason stores nothing more for ten minutes. For
// ForbiddenContent the body is replaced by its SHA-256.
func (b *Bus) DeadLetter(ctx context.Context, service, reason string, m Message, cause error) error {
	subject, err := deadLetterSubject(service, reason, m.Subject)
	if err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	id := fmt.Sprintf("%s-%s-%s-%d", service, reason, m.Stream, m.Seq)
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ack, err := b.js.PublishMsg(ctx, &nats.Msg{
		Subject: subject, Header: deadLetterHeader(service, reason, m, cause), Data: deadLetterBody(reason, m.Data),
	}, jetstream.WithMsgID(id))
	if err != nil {
		return fmt.Errorf("dead letter: %w", b.answer(ctx, err))
	}
	if ack.Duplicate {
		return nil
	}
	if b.dead != nil {
		b.dead(service, reason)
	}
	b.log.ErrorContext(ctx, "dead letter", "service", service, "reason", reason, "event_id", m.id(),
		"stream", m.Stream, "stream_seq", m.Seq, "deliveries", m.Deliveries, "error", redacted(cause))
	return nil
}

// deadLetterSubject names the project that the message's own subject names; that of what nobody can read is
// left open.
func deadLetterSubject(service, reason, subject string) (string, error) {
	project := ""
	if t := strings.SplitN(subject, ".", 5); reason != Unreadable && len(t) == 5 && t[0]+"."+t[1] == "backupbus.v1" {
		project = t[3]
	}
	return events.DeadLetterSubject(service, project, reason)
}

func deadLetterHeader(service, reason string, m Message, cause error) nats.Header {
	h := make(nats.Header, len(m.Header)+8)
	for name, v := range m.Header {
		if !reserved(name) && !strings.HasPrefix(name, DeadLetterPrefix) {
			h[name] = v
		}
	}
	put := func(name, v string) { h[DeadLetterPrefix+name] = []string{v} }
	put("Reason", reason)
	put("Service", service)
	put("Stream", m.Stream)
	put("Sequence", strconv.FormatUint(m.Seq, 10))
	put("Subject", m.Subject)
	put("Deliveries", strconv.Itoa(m.Deliveries))
	put("Error", redacted(cause))
	put("Time", events.At(time.Now()).String()) //nolint:forbidigo // a note for the operator; nothing decides on it
	return h
}

func deadLetterBody(reason string, body []byte) []byte {
	if reason != ForbiddenContent {
		return body
	}
	sum := sha256.Sum256(body)
	return []byte("sha256:" + hex.EncodeToString(sum[:]))
}

// redacted is an error's text in one line of at most 1 KiB, fit for a header and a log.
func redacted(err error) string {
	if err == nil {
		err = errors.New("unknown")
	}
	line := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, events.Redact(err.Error()))
	return events.Clip(line, maxDeadError)
}
