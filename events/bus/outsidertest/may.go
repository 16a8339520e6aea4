package outsidertest

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
)

func reads(ctx context.Context, t *testing.T, s Server, in, out *client) {
	want := logged(ctx, t, in).Msgs
	for name, conf := range map[string]jetstream.ConsumerConfig{
		"durable":   {Durable: "warehouse", FilterSubject: "backupbus.v1.event.shop.>", AckPolicy: jetstream.AckExplicitPolicy},
		"ephemeral": {FilterSubject: all, AckPolicy: jetstream.AckNonePolicy},
	} {
		c, err := out.js.CreateConsumer(ctx, bus.EventStream, conf)
		if err != nil {
			t.Fatal(name, err)
		}
		batch, err := c.Fetch(int(want), jetstream.FetchContext(ctx))
		if err != nil {
			t.Fatal(name, err)
		}
		n := uint64(0)
		for m := range batch.Messages() {
			if _, err := events.Parse(m.Headers(), m.Data()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if conf.Durable != "" {
				if err := m.DoubleAck(ctx); err != nil {
					t.Errorf("%s: acknowledge: %v", name, err)
				}
			}
			n++
		}
		info, err := c.Info(ctx)
		if err != nil || n != want || info.NumAckPending != 0 || info.NumPending != 0 {
			t.Errorf("%s: %d of %d events, %v, %v", name, n, want, batch.Error(), err)
		}
	}
	if _, err := out.js.Consumer(ctx, bus.EventStream, "warehouse"); err != nil {
		t.Error(err)
	}
	if _, err := out.js.AccountInfo(ctx); err != nil {
		t.Error(err)
	}
	m, err := out.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+bus.EventStream+".backupbus.v1.event.shop.>", nil)
	if err != nil || len(m.Data) == 0 {
		t.Errorf("direct get: %v", err)
	}
	consumers(ctx, t, s, out)
}

// consumers goes through the calls of backupbus events consumer.
func consumers(ctx context.Context, t *testing.T, s Server, out *client) {
	b, err := bus.Connect(ctx, bus.Config{URL: s.Outside, Client: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	filter, err := bus.ConsumerFilter("shop", "", "")
	if err != nil {
		t.Fatal(err)
	}
	conf := bus.ConsumerConfig{Name: "ledger", Filter: filter, Beginning: true}
	for range 2 { // the second time it is there
		if c, err := b.CreateConsumer(ctx, conf); err != nil || c.Filter != filter {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	conf.Beginning = false
	if _, err := b.CreateConsumer(ctx, conf); !errors.Is(err, bus.ErrConsumerExists) {
		t.Errorf("with other settings: %v", err)
	}
	made, err := out.js.Consumer(ctx, bus.EventStream, "ledger")
	if err != nil {
		t.Fatal(err)
	}
	if c := made.CachedInfo().Config; c.AckPolicy != jetstream.AckExplicitPolicy || c.AckWait.Seconds() != 30 || c.MaxDeliver != -1 ||
		c.MaxAckPending != 256 || len(c.BackOff) > 0 || c.DeliverSubject != "" || c.DeliverPolicy != jetstream.DeliverAllPolicy {
		t.Errorf("not as in events.md 6.1: %+v", c)
	}
	list, err := b.Consumers(ctx, "shop")
	if err != nil || len(list) != 2 || list[0].Name != "ledger" || list[1].Name != "warehouse" || list[0].Waiting == 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := b.Consumers(ctx, "other"); err != nil || len(list) != 0 {
		t.Errorf("of another project: %+v, %v", list, err)
	}
	for _, name := range []string{"ledger", "warehouse"} {
		if err := b.DeleteConsumer(ctx, name); err != nil {
			t.Error(err)
		}
	}
	if err := b.DeleteConsumer(ctx, "ledger"); !errors.Is(err, bus.ErrNoConsumer) {
		t.Errorf("deleted twice: %v", err)
	}
}

func sends(ctx context.Context, t *testing.T, s Server, in, out *client) {
	heard, err := out.nc.SubscribeSync("backupbus.v1.reply.shop.x1")
	if err != nil {
		t.Fatal(err)
	}
	if err := out.nc.FlushWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	ack, err := out.js.PublishMsg(ctx, &nats.Msg{Subject: "backupbus.v1.command.shop._.orders.backup.create", Data: []byte("{}")})
	if err != nil || ack.Stream != bus.CommandStream {
		t.Fatalf("%+v, %v", ack, err)
	}
	if err := in.nc.Publish("backupbus.v1.reply.shop.x1", []byte("copy")); err != nil {
		t.Fatal(err)
	}
	if m, err := heard.NextMsgWithContext(ctx); err != nil || string(m.Data) != "copy" {
		t.Errorf("reply: %v", err)
	}
	for _, subject := range []string{"backupbus.v1.event.shop.>", "backupbus.v1.progress.shop.>"} {
		if _, err := out.nc.SubscribeSync(subject); err != nil {
			t.Error(err)
		}
	}
	if err := out.nc.FlushWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-out.refused:
		t.Error(text)
	default:
	}
}
