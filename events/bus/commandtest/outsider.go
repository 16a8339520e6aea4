// Package commandtest is who sends commands, for tests of every module: plain NATS clients and the CloudEvents SDK,
// neither of which knows package bus. It also plays the handler that dies.
package commandtest

import (
	"context"
	"net"
	"testing"
	"time"

	cenats "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	ce "github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events/bus"
)

const patience = 30 * time.Second

// Outsider is a client of the project's own, on its own connection.
type Outsider struct {
	t  testing.TB
	nc *nats.Conn
	js jetstream.JetStream
}

// Connect makes one; it ends with the test.
func Connect(t testing.TB, server interface{ InProcessConn() (net.Conn, error) }) *Outsider {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(server))
	if err != nil {
		t.Fatalf("commandtest: %v", err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("commandtest: %v", err)
	}
	return &Outsider{t, nc, js}
}

// Send publishes with these headers and waits until it is stored.
func (o *Outsider) Send(subject string, header map[string][]string, body []byte) {
	o.t.Helper()
	if _, err := o.js.PublishMsg(o.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: body}); err != nil {
		o.t.Errorf("commandtest: send on %s: %v", subject, err)
	}
}

// SendEvent publishes through the CloudEvents SDK, in binary or structured mode.
func (o *Outsider) SendEvent(subject string, ev ce.Event, structured bool) {
	o.t.Helper()
	s, err := cenats.NewSenderFromConn(o.nc, bus.CommandStream, subject, nil)
	if err != nil {
		o.t.Fatalf("commandtest: %v", err)
	}
	ctx := o.t.Context()
	if structured {
		ctx = binding.WithForceStructured(ctx)
	}
	if err := s.Send(ctx, binding.ToMessage(&ev)); err != nil {
		o.t.Errorf("commandtest: send on %s: %v", subject, err)
	}
}

// Hear returns what is published on a subject outside of all streams.
func (o *Outsider) Hear(subject string) <-chan *nats.Msg {
	o.t.Helper()
	c := make(chan *nats.Msg, 64)
	if _, err := o.nc.ChanSubscribe(subject, c); err != nil {
		o.t.Fatalf("commandtest: %v", err)
	}
	if err := o.nc.Flush(); err != nil {
		o.t.Fatalf("commandtest: %v", err)
	}
	return c
}

// Die takes the next message of a durable n times and ends each time without a word, as a process does that is
// killed. It returns the message's subject.
func (o *Outsider) Die(durable string, n int) string {
	o.t.Helper()
	subject := ""
	for range n {
		m, err := o.next(durable)
		if err != nil {
			o.t.Fatalf("commandtest: take from %s: %v", durable, err)
		}
		subject = m.Subject()
	}
	return subject
}

// Take waits for the next message of a durable and acknowledges it; its subject is sent.
func (o *Outsider) Take(durable string) <-chan string {
	c := make(chan string, 1)
	go func() {
		m, err := o.next(durable)
		if err == nil {
			err = m.Ack()
		}
		if err != nil {
			o.t.Errorf("commandtest: take from %s: %v", durable, err)
			c <- ""
			return
		}
		c <- m.Subject()
	}()
	return c
}

func (o *Outsider) next(durable string) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, _ := bus.StreamOf(durable)
	c, err := o.js.Consumer(ctx, stream, durable)
	if err != nil {
		return nil, err
	}
	return c.Next(jetstream.FetchContext(ctx))
}

// Left is how many messages a stream holds.
func (o *Outsider) Left(stream string) uint64 {
	o.t.Helper()
	s, err := o.js.Stream(o.t.Context(), stream)
	if err != nil {
		o.t.Fatalf("commandtest: %v", err)
	}
	return s.CachedInfo().State.Msgs
}

// Everything is what all streams hold, headers and bodies, for looking whether something is in there.
func (o *Outsider) Everything() []*nats.Msg {
	o.t.Helper()
	var all []*nats.Msg
	names := o.js.StreamNames(o.t.Context())
	for name := range names.Name() {
		s, err := o.js.Stream(o.t.Context(), name)
		if err != nil {
			o.t.Fatalf("commandtest: %v", err)
		}
		st := s.CachedInfo().State
		for seq := st.FirstSeq; seq <= st.LastSeq; seq++ {
			if m, err := s.GetMsg(o.t.Context(), seq); err == nil {
				all = append(all, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
			}
		}
	}
	if err := names.Err(); err != nil {
		o.t.Fatalf("commandtest: %v", err)
	}
	return all
}
