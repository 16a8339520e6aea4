package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
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
// or acks m. Calling it again for the same message and reason stores nothing more for ten minutes. Of what holds
// ForbiddenContent, and of any command in which something looks like a credential, the attributes and the SHA-256
// of the body are kept, no more (events.md 2.6).
func (b *Bus) DeadLetter(ctx context.Context, service, reason string, m Message, cause error) error {
	m = withoutSecrets(reason, m)
	subject, err := deadLetterSubject(service, reason, m.Subject)
	if err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	id := fmt.Sprintf("%s-%s-%s-%d", service, reason, m.Stream, m.Seq)
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ack, err := b.js.PublishMsg(ctx, &nats.Msg{
		Subject: subject, Header: deadLetterHeader(service, reason, m, cause), Data: m.Data,
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

// withoutSecrets is m with its body's SHA-256 in place of the body, and its attributes in place of the headers, if
// something in it must not be kept.
func withoutSecrets(reason string, m Message) Message {
	if reason != ForbiddenContent && (m.Stream != CommandStream || !secret(m)) {
		return m
	}
	header := nats.Header{}
	keep := func(name string, values []string) {
		lower := strings.ToLower(name)
		if (strings.HasPrefix(lower, "ce-") || lower == "content-type") && len(values) > 0 {
			header[name] = []string{events.Redact(values[0])}
			if events.HasSecret(unescaped(values[0])) { // redacted as it is written it may still be read
				header[name] = []string{"[redacted]"}
			}
		}
	}
	for name, values := range m.Header {
		keep(name, values)
	}
	if ev, err := events.Parse(m.Header, m.Data); err == nil && events.IsStructured(m.Header) {
		ev.Data = nil
		if attributes, _, err := events.Encode(ev); err == nil {
			for name, values := range attributes {
				keep(name, values)
			}
		}
	}
	sum := sha256.Sum256(m.Data)
	m.Header, m.Data = header, []byte("sha256:"+hex.EncodeToString(sum[:]))
	return m
}

func secret(m Message) bool {
	if events.HasSecret(string(m.Data)) || events.HasSecret(plainJSON(m.Data)) {
		return true
	}
	for _, values := range m.Header {
		for _, v := range values {
			if events.HasSecret(v) || events.HasSecret(unescaped(v)) {
				return true
			}
		}
	}
	return false
}

// plainJSON is JSON without escapes that hide what it says; empty for what is no JSON.
func plainJSON(data []byte) string {
	var v any
	if json.Unmarshal(data, &v) != nil {
		return ""
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return ""
	}
	return b.String()
}

// unescaped is an attribute's value as its sender meant it (events.md 4.1), or as it stands if it is not escaped well.
func unescaped(v string) string {
	if clear, err := url.PathUnescape(v); err == nil {
		return clear
	}
	return v
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
