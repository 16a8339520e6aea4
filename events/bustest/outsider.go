package bustest

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
)

// outsider is a plain NATS connection that obeys none of the bus's rules, the same for all who ask while it stands.
func (s *Server) outsider(t testing.TB) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	s.outside.Lock()
	defer s.outside.Unlock()
	if s.plain == nil || !s.plain.IsConnected() {
		c, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			t.Fatalf("bustest: %v", err)
		}
		t.Cleanup(c.Close)
		s.plain = c
	}
	js, err := jetstream.New(s.plain)
	if err != nil {
		t.Fatalf("bustest: %v", err)
	}
	return s.plain, js
}

// PublishRaw stores bytes on a subject, as a program that does not know the bus would.
func (s *Server) PublishRaw(t testing.TB, subject string, body []byte) {
	t.Helper()
	s.publish(t, &nats.Msg{Subject: subject, Data: body})
}

// Publish stores an event on a subject without any check: sequence, state and subject may be wrong.
func (s *Server) Publish(t testing.TB, subject string, ev events.Event) {
	t.Helper()
	h, body, err := events.Encode(ev)
	if err != nil {
		t.Fatalf("bustest: %v", err)
	}
	s.publish(t, &nats.Msg{Subject: subject, Header: h, Data: body})
}

func (s *Server) publish(t testing.TB, m *nats.Msg) {
	t.Helper()
	_, js := s.outsider(t)
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatalf("bustest: publish on %s: %v", m.Subject, err)
	}
}

// DeadLetters waits for n dead letters and returns them in the order of their arrival.
func (s *Server) DeadLetters(t testing.TB, n int) []nats.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, js := s.outsider(t)
	c, err := js.OrderedConsumer(ctx, bus.DeadLetterStream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatalf("bustest: %v", err)
	}
	var out []nats.Msg
	for len(out) < n {
		m, err := c.Next(jetstream.FetchContext(ctx))
		if err != nil {
			t.Fatalf("bustest: %d of %d dead letters: %v", len(out), n, err)
		}
		out = append(out, nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
	}
	return out
}

// Purge empties a stream.
func (s *Server) Purge(t testing.TB, stream string) {
	t.Helper()
	_, js := s.outsider(t)
	st, err := js.Stream(t.Context(), stream)
	if err == nil {
		err = st.Purge(t.Context())
	}
	if err != nil {
		t.Fatalf("bustest: purge %s: %v", stream, err)
	}
}
