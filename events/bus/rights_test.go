package bus_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
)

const shop, other = "project-shop", "project-other"

// act is something that users may do or not.
type act struct {
	subject string
	body    string
	hear    bool     // it is subscribed to
	by      []string // who may; all others are refused
}

func publish(subject string, by ...string) act { return act{subject: subject, body: "{}", by: by} }
func hear(subject string, by ...string) act    { return act{subject: subject, hear: true, by: by} }

// acts are tried by every user. The executor is Spanner's. What may be done is done, so the order counts: removals last.
func acts() []act {
	const head = "backupbus.v1.event.shop."
	consumer := func(call, name string) string { return "$JS.API.CONSUMER." + call + "." + bus.EventStream + "." + name }
	list := []act{
		publish(head+"spanner.orders.backup.bk_1.requested", bus.RequesterUser),
		publish(head+"spanner.orders.backup.bk_1.started", bus.ExecutorsUser),
		publish(head + "cloudsql.orders.backup.bk_1.started"),
		publish(head+"cloudsql.orders.backup.bk_1.failed", bus.RequesterUser),
		publish(head+"spanner.orders.backup.bk_1.failed", bus.RequesterUser, bus.ExecutorsUser),
		publish(head + "spanner.orders.backup.bk_1.invented"),
		publish(head+"spanner.orders.restore.rs_1.requested", bus.RequesterUser),
		publish(head+"spanner.orders.restore.rs_1.succeeded", bus.ExecutorsUser),
		publish(head+"spanner.orders.instance.in_1.registered", bus.RequesterUser),
		publish(head+"spanner.orders.schedule.sc_1.created", bus.RequesterUser),
		publish(head+"_._.request.rq_1.accepted", bus.RequesterUser),
		publish(head + "spanner.orders.request.rq_1.accepted"),
		publish(head+"_._.subscription.su_1.created", bus.NotifierUser),
		publish(head+"_._.delivery.de_1.dead_lettered", bus.NotifierUser),
		publish("backupbus.v1.progress.shop.spanner.orders.backup.bk_1", bus.ExecutorsUser),
		publish("backupbus.v1.progress.shop.cloudsql.orders.backup.bk_1"),
		publish("backupbus.v1.progress.shop.spanner.orders.restore.rs_1", bus.ExecutorsUser),
		publish("backupbus.v1.progress.shop.cloudsql.orders.restore.rs_1"),
		publish("backupbus.v1.command.shop._.orders.backup.create", bus.RequesterUser, shop),
		publish("backupbus.v1.command.other._.orders.backup.create", bus.RequesterUser, other),
		publish("backupbus.v1.reply.shop.x1", bus.RequesterUser),
		publish("backupbus.v1.deadletter.requester.shop.internal", bus.RequesterUser),
		publish("backupbus.v1.deadletter.tracker.shop.unreadable", bus.TrackerUser),
		publish("backupbus.v1.deadletter.notifier.shop.unreadable", bus.NotifierUser),
		publish("backupbus.v1.deadletter.exec-spanner.shop.unreadable", bus.ExecutorsUser),
		publish("backupbus.v1.deadletter.exec-cloudsql.shop.unreadable"),
		publish("backupbus.v1.timer.slot.x", bus.RequesterUser),
		publish("backupbus.v1.tick.slot.x"),
		publish("backupbus.v1.working.ex-1", bus.ExecutorsUser),
		publish(bus.DeliverySubject("shop", "su_1", "de_1"), bus.NotifierUser),
		publish("$KV."+bus.SubscriptionBucket+".x", bus.NotifierUser),
		publish("$KV."+bus.NotifierStateBucket+".x", bus.NotifierUser),
		publish("_INBOX_requester.x.y"), publish("_INBOX_notifier.x.y"), publish("_INBOX_shop.x.y"),

		publish("$JS.API.DIRECT.GET."+bus.EventStream+".backupbus.v1.event.shop.>", bus.RequesterUser, bus.TrackerUser, shop),
		publish("$JS.API.DIRECT.GET."+bus.EventStream+".backupbus.v1.event.other.>", bus.RequesterUser, bus.TrackerUser, other),
		publish("$JS.API.DIRECT.GET."+bus.EventStream+".backupbus.v1.event.shop.spanner.orders.>", bus.RequesterUser, bus.TrackerUser, bus.ExecutorsUser, shop),
		publish("$JS.API.DIRECT.GET."+bus.EventStream+".backupbus.v1.event.shop.cloudsql.orders.>", bus.RequesterUser, bus.TrackerUser, shop),
		publish("$JS.API.DIRECT.GET."+bus.EventStream+".backupbus.v1.event.shop._._.>", bus.RequesterUser, bus.TrackerUser, bus.NotifierUser, shop),
		publish("$JS.API.DIRECT.GET."+bus.EventStream, bus.TrackerUser, bus.NotifierUser),
		publish("$JS.API.STREAM.MSG.GET." + bus.EventStream),
		publish("$JS.API.STREAM.MSG.GET."+bus.CommandStream, bus.TrackerUser),
		publish("$JS.API.STREAM.INFO."+bus.EventStream, bus.RequesterUser, bus.ExecutorsUser, bus.TrackerUser, bus.NotifierUser, bus.ProvisionUser),
		publish("$JS.API.STREAM.CREATE.MINE"),
		publish("$JS.API.INFO", bus.ProvisionUser, shop, other),
		publish("$JS.API.STREAM.UPDATE."+bus.EventStream, bus.ProvisionUser),
		publish("$JS.API.STREAM.SNAPSHOT." + bus.EventStream),
		publish("$SYS.REQ.SERVER.PING"),

		publish(consumer("CREATE", "reader.backupbus.v1.event.shop.>"), bus.RequesterUser, bus.TrackerUser, bus.NotifierUser, bus.ProvisionUser),
		publish(consumer("CREATE", "reader"), bus.ProvisionUser),
		publish(consumer("DURABLE.CREATE", "reader")),
		publish(consumer("MSG.NEXT", "reader"), bus.RequesterUser, bus.TrackerUser, bus.NotifierUser),

		hear(">"), hear("_INBOX.>"), hear("$JS.>"), hear("backupbus.v1.event.>"), hear("backupbus.v1.command.>"), hear("_R_.>"),
		hear("_INBOX_requester.>", bus.RequesterUser), hear("_INBOX_provider-executors.>", bus.ExecutorsUser),
		hear("_INBOX_status-tracker.>", bus.TrackerUser), hear("_INBOX_notifier.>", bus.NotifierUser),
		hear("_INBOX_provision.>", bus.ProvisionUser), hear("_INBOX_shop.>", shop), hear("_INBOX_other.>", other),
		hear("backupbus.v1.event.shop.>", shop), hear("backupbus.v1.event.other.>", other),
		hear("backupbus.v1.progress.shop.>", shop), hear("backupbus.v1.reply.shop.>", shop), hear("backupbus.v1.reply.other.>", other),
		hear("backupbus.v1.event.*.spanner.*.backup.*.cancel_requested", bus.ExecutorsUser),
		hear("backupbus.v1.event.*.cloudsql.*.backup.*.cancel_requested"),
		hear("backupbus.v1.working.*", bus.ExecutorsUser),
		hear("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>", bus.TrackerUser),
	}
	for durable, owner := range map[string]string{bus.TrackerDurable: bus.TrackerUser, bus.NotifierDurable: bus.NotifierUser,
		bus.SchedulerDurable: bus.RequesterUser, bus.ExecutorDurable("spanner"): bus.ExecutorsUser, "warehouse": shop, "ledger": other} {
		list = append(list, publish(consumer("MSG.NEXT", durable), owner),
			publish("$JS.ACK."+bus.EventStream+"."+durable+".1.1.1.1763000000000000000.0", owner),
			publish(consumer("INFO", durable), owner),
			publish(consumer("CREATE", durable+".backupbus.v1.event.>"), bus.ProvisionUser))
	}
	list = append(list, publish("$JS.API.CONSUMER.MSG.NEXT."+bus.CommandStream+".requester", bus.RequesterUser),
		publish("$JS.API.CONSUMER.DELETE."+bus.CommandStream+".requester", bus.ProvisionUser),
		publish("$JS.API.STREAM.PURGE."+bus.TimerStream, bus.RequesterUser))
	for _, s := range []string{bus.EventStream, bus.CommandStream, bus.DeadLetterStream, bus.DeliveryLogStream, "KV_" + bus.SubscriptionBucket} {
		list = append(list, publish("$JS.API.STREAM.MSG.DELETE."+s), publish("$JS.API.STREAM.DELETE."+s))
		if s != bus.EventStream {
			list = append(list, publish("$JS.API.STREAM.PURGE."+s))
		}
	}
	for _, d := range []string{bus.TrackerDurable, bus.NotifierDurable, bus.SchedulerDurable, bus.ExecutorDurable("spanner"), "warehouse"} {
		list = append(list, publish(consumer("DELETE", d), bus.ProvisionUser))
	}
	return append(list, publish("$JS.API.STREAM.PURGE."+bus.EventStream, bus.TrackerUser))
}

func guarded(t *testing.T) *bustest.Server {
	t.Helper()
	topology := bus.Topology{Executors: []string{"spanner"}}
	s := bustest.Guarded(t, topology, bus.Outsider{Project: "shop", Consumers: []string{"warehouse"}}, bus.Outsider{Project: "other", Consumers: []string{"ledger"}})
	operator := s.ConnectAs(t, bus.ProvisionUser)
	bustest.Provision(t, operator, topology)
	for project, name := range map[string]string{"shop": "warehouse", "other": "ledger"} {
		filter := must[string](t)(bus.ConsumerFilter(project, "", ""))
		if _, err := operator.CreateConsumer(t.Context(), bus.ConsumerConfig{Name: name, Filter: filter, Beginning: true}); err != nil {
			t.Fatal(err)
		}
	}
	if refused := s.Refused(); len(refused) > 0 {
		t.Fatalf("the operator was refused %q", refused)
	}
	return s
}

// as is a plain client with a user's key.
func as(t *testing.T, s *bustest.Server, user string) *nats.Conn {
	t.Helper()
	key := must[nats.Option](t)(nats.NkeyOptionFromSeed(s.Key(user)))
	nc := must[*nats.Conn](t)(nats.Connect(s.URL(), key, nats.CustomInboxPrefix(bus.InboxPrefix(strings.TrimPrefix(user, "project-"))),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))) // the server's own word counts
	t.Cleanup(nc.Close)
	return nc
}

// N4, N7, and N2 and N3 of projects: every user tries everything of the table.
func TestRights_EachUserHasItsOwnAndNoMore(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	users := []string{bus.RequesterUser, bus.ExecutorsUser, bus.TrackerUser, bus.NotifierUser, bus.ProvisionUser, shop, other}
	clients := map[string]*nats.Conn{}
	for _, u := range users {
		clients[u] = as(t, s, u)
	}
	for _, a := range acts() {
		for _, u := range users {
			before, nc := len(s.Refused()), clients[u]
			var err error
			if a.hear {
				_, err = nc.SubscribeSync(a.subject)
			} else {
				err = nc.PublishMsg(&nats.Msg{Subject: a.subject, Data: []byte(a.body)})
			}
			if err == nil {
				err = nc.FlushTimeout(soon) // the server has judged it
			}
			if err != nil {
				t.Fatal(err)
			}
			if may, did := slices.Contains(a.by, u), len(s.Refused()) == before; may != did {
				t.Errorf("%s: %s was allowed: %t", u, a.subject, did)
			}
		}
	}
}

// What may be done has its effect, and what may not be has none.
func TestRights_PurgeOfTheLog(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	for range 2 {
		s.PublishRaw(t, "backupbus.v1.event.shop.spanner.orders.backup.bk_1.requested", []byte("{}"))
	}
	count := func() uint64 {
		js := must[jetstream.JetStream](t)(jetstream.New(must[*nats.Conn](t)(nats.Connect(s.URL()))))
		defer js.Conn().Close()
		return must[jetstream.Stream](t)(js.Stream(t.Context(), bus.EventStream)).CachedInfo().State.Msgs
	}
	for _, u := range []string{bus.RequesterUser, bus.ExecutorsUser, bus.NotifierUser, bus.ProvisionUser, shop, bus.TrackerUser} {
		nc, want := as(t, s, u), uint64(2)
		if u == bus.TrackerUser {
			want = 0
			if _, err := nc.Request("$JS.API.STREAM.PURGE."+bus.EventStream, nil, soon); err != nil {
				t.Error(err)
			}
		} else if err := nc.PublishRequest("$JS.API.STREAM.PURGE."+bus.EventStream, nc.NewInbox(), nil); err != nil {
			t.Error(err)
		}
		if err := nc.FlushTimeout(soon); err != nil {
			t.Fatal(err)
		}
		if n := count(); n != want {
			t.Errorf("after %s the log has %d messages", u, n)
		}
	}
}

// A program of a project reads its events from its durable, asks, and hears what it is answered; another project's does not.
// No answer to it becomes an event.
func TestRights_ProgramOfAProject(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	mine, theirs := as(t, s, shop), as(t, s, other)
	replies := must[*nats.Subscription](t)(mine.SubscribeSync("backupbus.v1.reply.shop.x1"))
	live := must[*nats.Subscription](t)(mine.SubscribeSync("backupbus.v1.event.shop.>"))
	foreign := must[*nats.Subscription](t)(theirs.SubscribeSync("backupbus.v1.event.other.>"))
	for _, nc := range []*nats.Conn{mine, theirs} {
		if err := nc.FlushTimeout(soon); err != nil {
			t.Fatal(err)
		}
	}
	s.PublishRaw(t, "backupbus.v1.event.shop.spanner.orders.backup.bk_1.requested", []byte("{}"))
	if _, err := live.NextMsg(soon); err != nil {
		t.Error(err)
	}
	js := must[jetstream.JetStream](t)(jetstream.New(mine))
	m := must[jetstream.Msg](t)(must[jetstream.Consumer](t)(js.Consumer(t.Context(), bus.EventStream, "warehouse")).Next())
	if m.Subject() != "backupbus.v1.event.shop.spanner.orders.backup.bk_1.requested" {
		t.Error(m.Subject())
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Error(err)
	}
	const forged = "backupbus.v1.event.shop.spanner.orders.backup.bk_forged.succeeded"
	inside := must[*nats.Conn](t)(nats.Connect(s.URL()))
	defer inside.Close()
	seen := must[*nats.Subscription](t)(inside.SubscribeSync(forged))
	if err := inside.FlushTimeout(soon); err != nil {
		t.Fatal(err)
	}
	for subject, body := range map[string]string{"backupbus.v1.command.shop._.orders.backup.create": "{}", "$JS.API.CONSUMER.MSG.NEXT." + bus.EventStream + ".warehouse": "1",
		"$JS.API.CONSUMER.INFO." + bus.EventStream + ".warehouse": "", "$JS.API.DIRECT.GET." + bus.EventStream + ".backupbus.v1.event.shop.>": ""} {
		if err := mine.PublishMsg(&nats.Msg{Subject: subject, Reply: forged, Data: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		if err := mine.PublishMsg(&nats.Msg{Subject: subject, Data: []byte(body), Header: nats.Header{"Nats-Trace-Dest": {forged}}}); err != nil {
			t.Fatal(err)
		}
	}
	ack, err := js.Publish(t.Context(), "backupbus.v1.command.shop._.orders.backup.create", []byte("{}"))
	if err != nil || ack.Stream != bus.CommandStream {
		t.Errorf("%+v, %v", ack, err)
	}
	if err := as(t, s, bus.RequesterUser).Publish("backupbus.v1.reply.shop.x1", []byte("copy")); err != nil {
		t.Error(err)
	}
	if m, err := replies.NextMsg(soon); err != nil || string(m.Data) != "copy" {
		t.Errorf("reply: %v", err)
	}
	if n, _, err := foreign.Pending(); n != 0 || err != nil {
		t.Errorf("another project heard %d messages, %v", n, err)
	}
	if err := inside.FlushTimeout(soon); err != nil {
		t.Fatal(err)
	}
	if n, _, err := seen.Pending(); n != 0 || err != nil {
		t.Errorf("%d answers became events, %v", n, err)
	}
	for _, text := range s.Refused() {
		if !strings.Contains(text, "bk_forged") { // of the trace, by whoever is asked first
			t.Error(text)
		}
	}
}
