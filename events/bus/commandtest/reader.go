package commandtest

import (
	"context"
	"testing"

	cenats "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	ce "github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events/bus"
)

// DialAs is Dial with the key of a project's user.
func DialAs(t testing.TB, url, key, project string) *Outsider {
	t.Helper()
	proof, err := nats.NkeyOptionFromSeed(key)
	if err != nil {
		t.Fatalf("commandtest: %v", err)
	}
	return Dial(t, url, proof, nats.CustomInboxPrefix(bus.InboxPrefix(project)))
}

// Dial makes an outsider at an address; it ends with the test.
func Dial(t testing.TB, url string, opts ...nats.Option) *Outsider {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
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

// Events pulls the next n events of a consumer, as the CloudEvents SDK reads them, and acknowledges them.
func (o *Outsider) Events(consumer string, n int) []ce.Event {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), patience)
	defer cancel()
	c, err := o.js.Consumer(ctx, bus.EventStream, consumer)
	if err != nil {
		o.t.Fatalf("commandtest: %v", err)
	}
	var out []ce.Event
	for len(out) < n {
		m, err := c.Next(jetstream.FetchContext(ctx))
		if err != nil {
			o.t.Fatalf("commandtest: %d of %d events: %v", len(out), n, err)
		}
		wrapped := cenats.NewMessage(&nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		ev, err := binding.ToEvent(ctx, wrapped)
		if err == nil {
			err = ev.Validate()
		}
		if err == nil {
			err = m.DoubleAck(ctx)
		}
		if err != nil {
			o.t.Fatalf("commandtest: event on %s: %v", m.Subject(), err)
		}
		out = append(out, *ev)
	}
	return out
}
