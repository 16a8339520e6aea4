package outsidertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events/bus"
)

// forged is where an event would be if an outsider could make one.
const forged = "backupbus.v1.event.shop.sqlite.orders.backup.bk_forged.succeeded"

func publishesNothingElse(ctx context.Context, t *testing.T, _ Server, _, out *client) {
	const events = bus.EventStream
	for subject, body := range map[string]string{
		forged: "{}",
		"backupbus.v1.progress.shop.sqlite.orders.backup.bk_forged":             "{}",
		"backupbus.v1.progress.shop.sqlite.orders.restore.rs_forged":            "{}",
		"backupbus.v1.reply.shop.x1":                                            "{}",
		"backupbus.v1.deadletter.requester.shop.internal":                       "{}",
		"backupbus.v1.outsider.create.x.backupbus.v1.event.>":                   "{}",
		"$JS.API.STREAM.PURGE." + events:                                        "",
		"$JS.API.STREAM.DELETE." + events:                                       "",
		"$JS.API.STREAM.UPDATE." + events:                                       "{}",
		"$JS.API.STREAM.CREATE.MINE":                                            `{"name":"MINE","subjects":["mine"]}`,
		"$JS.API.STREAM.MSG.DELETE." + events:                                   `{"seq":1}`,
		"$JS.API.STREAM.MSG.GET." + events:                                      `{"seq":1}`,
		"$JS.API.DIRECT.GET." + events:                                          `{"seq":1}`,
		"$JS.API.STREAM.PURGE." + bus.CommandStream:                             "",
		"$JS.API.STREAM.SNAPSHOT." + events:                                     "{}",
		"$JS.API.CONSUMER.NAMES." + events:                                      "",
		"$JS.API.CONSUMER.CREATE." + bus.CommandStream + ".x.backupbus.v1.>":    "{}",
		"$JS.API.CONSUMER.MSG.NEXT." + bus.CommandStream + ".requester":         "1",
		"$JS.ACK." + bus.CommandStream + ".requester.1.1.1.1763000000000000000": "+ACK",
		"$KV." + bus.SubscriptionBucket + ".x":                                  "{}",
		"$SYS.REQ.SERVER.PING":                                                  "",
	} {
		out.isRefused(ctx, t, subject, body)
	}
}

// The server sends an answer wherever its request says, without asking for rights. It has to be among outsiders.
func answersStayOutside(ctx context.Context, t *testing.T, _ Server, in, out *client) {
	c, err := out.js.CreateConsumer(ctx, bus.EventStream, jetstream.ConsumerConfig{Durable: "trick", FilterSubject: all, AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	heard, err := in.nc.SubscribeSync(forged)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = heard.Unsubscribe() }()
	if err := in.nc.FlushWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	for subject, body := range map[string]string{
		"backupbus.v1.command.shop._.orders.backup.create":                       "{}",
		"$JS.API.CONSUMER.MSG.NEXT." + bus.EventStream + ".trick":                "1",
		"$JS.API.DIRECT.GET." + bus.EventStream + ".backupbus.v1.event.shop.>":   "",
		"$JS.API.STREAM.INFO." + bus.EventStream:                                 "",
		"$JS.API.CONSUMER.INFO." + bus.EventStream + ".trick":                    "",
		"$JS.API.CONSUMER.LIST." + bus.EventStream:                               "",
		"$JS.API.CONSUMER.CREATE." + bus.EventStream + ".y.backupbus.v1.event.>": "{}",
		"$JS.ACK." + bus.EventStream + ".trick.1.1.1.1763000000000000000.0":      "+NXT",
	} {
		for _, reply := range []string{forged, "$JS.API.STREAM.PURGE." + bus.EventStream} {
			if err := out.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: []byte(body)}); err != nil {
				t.Fatal(err)
			}
		}
		trace := &nats.Msg{Subject: subject, Data: []byte(body), Header: nats.Header{"Nats-Trace-Dest": {forged}}}
		if err := out.nc.PublishMsg(trace); err != nil {
			t.Fatal(err)
		}
	}
	// Whoever asks the same way now is answered after all of these.
	if _, err := out.js.Publish(ctx, "backupbus.v1.command.shop._.orders.backup.create", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Info(ctx); err != nil {
		t.Fatal(err)
	}
	if err := out.js.DeleteConsumer(ctx, bus.EventStream, "trick"); err != nil {
		t.Fatal(err)
	}
	if err := in.nc.FlushWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	if n, _, err := heard.Pending(); n != 0 || err != nil {
		t.Errorf("%d messages among the services, %v", n, err)
	}
}

// create asks for a consumer as its subject and its body say, and returns the server's refusal.
func (c *client) create(ctx context.Context, t *testing.T, name, filter string, conf jetstream.ConsumerConfig) error {
	t.Helper()
	body, err := json.Marshal(map[string]any{"stream_name": bus.EventStream, "config": conf})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.nc.RequestWithContext(ctx, "$JS.API.CONSUMER.CREATE."+bus.EventStream+"."+name+"."+filter, body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error == nil {
		return nil
	}
	return answer.Error
}

// What a consumer delivers to is in its body alone, and the server would publish there.
func noPush(ctx context.Context, t *testing.T, _ Server, _, out *client) {
	for _, target := range []string{forged, "backupbus.v1.progress.shop.sqlite.orders.backup.bk_forged", "$KV." + bus.SubscriptionBucket + ".x", "mine"} {
		conf := jetstream.ConsumerConfig{Name: "push", FilterSubject: all, DeliverSubject: target}
		if err := out.create(ctx, t, "push", all, conf); err == nil {
			t.Errorf("a consumer that delivers to %s was made", target)
		}
	}
}

func oneFilter(ctx context.Context, t *testing.T, _ Server, _, out *client) {
	shop := "backupbus.v1.event.shop.>"
	for name, conf := range map[string]jetstream.ConsumerConfig{
		"no filter":        {Name: "x"},
		"another filter":   {Name: "x", FilterSubject: all},
		"several filters":  {Name: "x", FilterSubjects: []string{shop, "backupbus.v1.event.other.>"}},
		"another name":     {Name: "y", FilterSubject: shop},
		"a service's name": {Durable: bus.NotifierDurable, FilterSubject: shop},
	} {
		if err := out.create(ctx, t, "x", shop, conf); err == nil {
			t.Errorf("%s: a consumer was made", name)
		}
	}
	if err := out.create(ctx, t, bus.ExecutorDurable("unheard"), shop, jetstream.ConsumerConfig{Durable: bus.ExecutorDurable("unheard"), FilterSubject: shop}); err == nil {
		t.Error("a consumer with the name of an executor was made")
	}
	out.isRefused(ctx, t, "$JS.API.CONSUMER.CREATE."+bus.EventStream, "{}")
	out.isRefused(ctx, t, "$JS.API.CONSUMER.CREATE."+bus.EventStream+".x", "{}")
	out.isRefused(ctx, t, "$JS.API.CONSUMER.DURABLE.CREATE."+bus.EventStream+".x", "{}")
	out.isRefused(ctx, t, "$JS.API.CONSUMER.CREATE."+bus.EventStream+".x.backupbus.v1.>", "{}")
}

func durablesStay(ctx context.Context, t *testing.T, _ Server, _, out *client) {
	for _, d := range []string{bus.TrackerDurable, bus.NotifierDurable, bus.SchedulerDurable, bus.ExecutorDurable("sqlite")} {
		for _, call := range []string{"INFO", "DELETE", "MSG.NEXT"} {
			out.isRefused(ctx, t, "$JS.API.CONSUMER."+call+"."+bus.EventStream+"."+d, "1")
		}
		out.isRefused(ctx, t, "$JS.API.CONSUMER.CREATE."+bus.EventStream+"."+d+"."+all, "{}")
		out.isRefused(ctx, t, fmt.Sprintf("$JS.ACK.%s.%s.1.1.1.1763000000000000000.0", bus.EventStream, d), "+ACK")
	}
}

func hearsNothingElse(ctx context.Context, t *testing.T, _ Server, in, out *client) {
	for _, subject := range []string{">", "backupbus.>", "backupbus.v1.command.>", "backupbus.v1.deadletter.>", "$JS.>", "$KV.>", "$SYS.>", "_R_.>"} {
		if _, err := out.nc.SubscribeSync(subject); err != nil && !errors.Is(err, nats.ErrPermissionViolation) {
			t.Fatal(err)
		}
		out.saysNo(ctx, t, subject)
	}
	// Inboxes are outsiders' own: what is answered to a service does not come here.
	heard, err := out.nc.SubscribeSync("_INBOX.>")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = heard.Unsubscribe() }()
	if err := out.nc.FlushWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := in.js.Stream(ctx, bus.EventStream); err != nil {
		t.Fatal(err)
	}
	if err := out.nc.FlushWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	if n, _, err := heard.Pending(); n != 0 || err != nil {
		t.Errorf("%d answers to services were heard, %v", n, err)
	}
}
