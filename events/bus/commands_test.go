package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bus/commandtest"
	"github.com/backupbus/backupbus/events/bustest"
)

const createSubject = "backupbus.v1.command.shop._.orders.backup.create"

// A bus that was provisioned before there were commands gets them when it is provisioned again (events.md 4.4).
func TestProvision_AddsCommandsToABusThatExists(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	js := raw(t, s)
	if err := js.DeleteStream(ctx, bus.CommandStream); err != nil {
		t.Fatal(err)
	}
	bustest.Provision(t, b)
	st, err := js.Stream(ctx, bus.CommandStream)
	if err != nil {
		t.Fatal(err)
	}
	c := st.CachedInfo().Config
	if c.Retention != jetstream.WorkQueuePolicy || c.Discard != jetstream.DiscardNew || c.MaxAge != 7*24*time.Hour || c.MaxMsgs != 1_000_000 ||
		c.Duplicates != 100*time.Millisecond || c.MaxMsgSize != events.MaxMessage || c.Storage != jetstream.FileStorage {
		t.Errorf("%+v", c)
	}
	d, err := js.Consumer(ctx, bus.CommandStream, bus.RequesterDurable)
	if err != nil {
		t.Fatal(err)
	}
	if c := d.CachedInfo().Config; c.MaxDeliver != 10 || c.MaxAckPending != 1000 || c.AckWait != 60*time.Second || len(c.BackOff) > 0 {
		t.Errorf("%+v", c)
	}
}

// refuseAll is a handler that puts every command among the dead letters.
func refuseAll(ctx context.Context, t testing.TB, b *bus.Bus, reason string) {
	t.Helper()
	router := must[*message.Router](t)(bus.NewRouter(b, nil))
	router.AddConsumerHandler("commands", bus.RequesterDurable, b.Subscriber(bus.SubscriberConfig{}), func(msg *message.Message) error {
		if bus.Headers(msg)["Ce-Id"] == nil {
			t.Error("headers are gone")
		}
		return bus.Refuse(reason, errors.New("as asked"))
	})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- router.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func TestDeadLetters_PagesAndRedrive(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	refuseAll(ctx, t, b, bus.Internal)
	out := commandtest.Connect(t, s)
	for i := range 5 {
		out.Send(createSubject, map[string][]string{"Ce-Id": {fmt.Sprint(i)}, "Backupbus-Reply-To": {"x"}}, []byte(`{}`))
	}
	s.DeadLetters(t, 5)
	f := bus.DeadLetterFilter{Project: "shop", Reason: bus.Internal, Limit: 2}
	var all []bus.Dead
	for pages := 1; ; pages++ {
		list, next, err := b.DeadLetters(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, list...); next == 0 {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		f.After = next
	}
	if len(all) != 5 || all[0].Service != "requester" || all[0].Stream != bus.CommandStream || all[0].Subject != createSubject || all[0].Error == "" ||
		all[0].Deliveries != 1 || all[0].Time.IsZero() || all[0].Header["Backupbus-Reply-To"] == nil {
		t.Fatalf("%+v", all)
	}
	for _, f := range []bus.DeadLetterFilter{{Project: "other", Limit: 9}, {Limit: 9}, {Project: "shop", Service: "tracker", Limit: 9}} {
		if list, _, err := b.DeadLetters(ctx, f); err != nil || len(list) > 0 {
			t.Errorf("%+v: %+v, %v", f, list, err)
		}
	}
	if _, _, err := b.DeadLetters(ctx, bus.DeadLetterFilter{Project: "shop", Service: ">"}); err == nil {
		t.Error("a wildcard is no service")
	}
	if _, err := b.DeadLetterAt(ctx, "other", all[0].Sequence); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("another project's: %v", err)
	}
	one := must[bus.Dead](t)(b.DeadLetterAt(ctx, "shop", all[0].Sequence))
	if repeat, err := b.Redrive(ctx, one); err != nil || repeat {
		t.Error(repeat, err)
	}
	dead := s.DeadLetters(t, 6)[5]
	if dead.Subject != "backupbus.v1.deadletter.requester.shop.internal" || string(dead.Data) != `{}` || dead.Header["Ce-Id"][0] != one.Header["Ce-Id"][0] {
		t.Errorf("%s %v %s", dead.Subject, dead.Header, dead.Data)
	}
}

// What is in the log still is not appended again, and what was not kept cannot be given to anybody.
func TestRedrive_Never(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	last := must[bus.LogState](t)(b.State(ctx)).Last
	for _, d := range []bus.Dead{
		{Sequence: 1, Stream: bus.EventStream, Subject: "backupbus.v1.event.shop._._.request.x.accepted"},
		{Sequence: 2, Stream: bus.TimerStream, Subject: "backupbus.v1.tick.x"},
		{Sequence: 3, Stream: bus.CommandStream, Subject: createSubject, Reason: bus.ForbiddenContent},
		{Sequence: 4, Stream: bus.CommandStream, Subject: createSubject, Reason: bus.MaxDeliveries, Data: []byte("sha256:00")},
	} {
		if _, err := b.Redrive(ctx, d); !errors.Is(err, bus.ErrNotRedrivable) {
			t.Errorf("%+v: %v", d, err)
		}
	}
	if st := must[bus.LogState](t)(b.State(ctx)); st.Last != last || commandtest.Connect(t, s).Left(bus.CommandStream) != 0 {
		t.Error("something was published")
	}
}

// A dead letter of a command never holds what looks like a credential, whatever it died of.
func TestDeadLetter_KeepsNoSecretOfACommand(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	for _, m := range []bus.Message{
		{Subject: createSubject, Stream: bus.CommandStream, Seq: 1, Header: nats.Header{"ce-id": {"1"}, "X": {"y"}}, Data: []byte(`{"x":"password=hunter2"}`)},
		{Subject: createSubject, Stream: bus.CommandStream, Seq: 2, Header: nats.Header{"ce-id": {"2"}, "Note": {"token=hunter2"}}, Data: []byte(`{}`)},
	} {
		if err := b.DeadLetter(ctx, "requester", bus.MaxDeliveries, m, errBusy); err != nil {
			t.Fatal(err)
		}
	}
	for _, dead := range s.DeadLetters(t, 2) {
		if text := fmt.Sprint(dead.Header, string(dead.Data)); len(dead.Data) != len("sha256:")+64 || dead.Header["ce-id"] == nil || events.HasSecret(text) || dead.Header["X"] != nil {
			t.Errorf("%s", text)
		}
	}
}
