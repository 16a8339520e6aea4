package bus_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
)

// handle runs a router with one handler on a durable; stop closes it.
func handle(ctx context.Context, t testing.TB, b *bus.Bus, sub *bus.Subscriber, durable string, h message.NoPublishHandlerFunc) (stop func()) {
	t.Helper()
	r, err := bus.NewRouter(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddConsumerHandler("test", durable, sub, h)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	receive(t, "the router runs", r.Running())
	stop = func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return stop
}

func TestSubscriber_MarksKeepALongHandlersMessage(t *testing.T) {
	t.Parallel()
	const ackWait = 600 * time.Millisecond
	ctx, s, b := setup(t, bus.Topology{AckWait: ackWait})
	var marks atomic.Int32
	enough := make(chan struct{})
	s.Faults.Drop(1, func(f bustest.Frame) bool {
		if !f.ToClient && bytes.Equal(f.Data, []byte("+WPI")) && marks.Add(1) == 9 { // three times AckWait
			close(enough)
		}
		return false
	})
	var deliveries atomic.Int32
	handle(ctx, t, b, b.Subscriber(bus.SubscriberConfig{}), bus.NotifierDurable, func(msg *message.Message) error {
		deliveries.Add(1)
		<-enough
		return nil
	})
	must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", 1))))
	receive(t, "nine marks", enough)
	settled(ctx, t, s, bus.NotifierDurable, 1)
	if n := deliveries.Load(); n != 1 {
		t.Errorf("%d deliveries, want 1", n)
	}
}

// settled waits until a durable of the event stream has everything up to floor acknowledged.
func settled(ctx context.Context, t testing.TB, s *bustest.Server, durable string, floor uint64) {
	t.Helper()
	js := raw(t, s)
	eventually(t, durable+" is settled", func() bool {
		c, err := js.Consumer(ctx, bus.EventStream, durable)
		return err == nil && c.CachedInfo().AckFloor.Stream >= floor
	})
}

func TestSubscriber_RetryAfterIsKept(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	const delay = 300 * time.Millisecond
	times := make(chan time.Time, 2)
	handle(ctx, t, b, b.Subscriber(bus.SubscriberConfig{}), bus.NotifierDurable, func(msg *message.Message) error {
		times <- time.Now()
		if bus.MetaOf(msg).Deliveries == 1 {
			return bus.RetryAfter(errBusy, delay)
		}
		return nil
	})
	must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", 1))))
	first := receive(t, "the first delivery", times)
	if waited := receive(t, "the second", times).Sub(first); waited < delay {
		t.Errorf("redelivered after %s, want at least %s", waited, delay)
	}
}

func TestSubscriber_ShutdownHandsBack(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	taken := make(chan struct{})
	stop := handle(ctx, t, b, b.Subscriber(bus.SubscriberConfig{}), bus.NotifierDurable, func(msg *message.Message) error {
		close(taken)
		<-msg.Context().Done()
		return msg.Context().Err()
	})
	must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", 1))))
	receive(t, "a message in the handler", taken)
	stop()
	got := make(chan bus.Meta, 1)
	other := s.Connect(t)
	handle(ctx, t, other, other.Subscriber(bus.SubscriberConfig{}), bus.NotifierDurable, func(msg *message.Message) error {
		got <- bus.MetaOf(msg)
		return nil
	})
	// AckWait is a minute: only what was handed back comes in time. The subscriber that stops may have got it
	// once more through a request that still stood, and handed it back again.
	again := receive(t, "the message again", got)
	want := bus.Meta{Stream: bus.EventStream, Durable: bus.NotifierDurable, Seq: 1, Deliveries: max(again.Deliveries, 2),
		Subject: must[string](t)(backup("orders", 1).Aggregate().EventSubject(events.Requested))}
	if diff := cmp.Diff(want, again); diff != "" {
		t.Error(diff)
	}
}

func TestSubscriber_SurvivesRestart(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	seen := make(chan uint64, 10)
	handle(ctx, t, b, b.Subscriber(bus.SubscriberConfig{}), bus.NotifierDurable, func(msg *message.Message) error {
		seen <- bus.MetaOf(msg).Seq
		return nil
	})
	must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", 1))))
	receive(t, "the first event", seen)
	s.Restart(t)
	must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", 2))))
	eventually(t, "the second event", func() bool { return receive(t, "an event", seen) == 2 })
}

func TestSubscriber_UnknownDurable(t *testing.T) {
	t.Parallel()
	ctx, _, b := setup(t)
	for _, durable := range []string{"nobody", bus.ExecutorDurable("nobody")} {
		if _, err := b.Subscriber(bus.SubscriberConfig{}).Subscribe(ctx, durable); err == nil {
			t.Errorf("%s: no error", durable)
		}
	}
}

// poisoned makes a durable of the event stream that gives up after two deliveries.
func poisoned(ctx context.Context, t testing.TB, s *bustest.Server, b *bus.Bus) *bus.Subscriber {
	t.Helper()
	_, err := raw(t, s).CreateConsumer(ctx, bus.EventStream, jetstream.ConsumerConfig{
		Durable: "twice", AckPolicy: jetstream.AckExplicitPolicy, AckWait: soon, MaxDeliver: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	sub := b.Subscriber(bus.SubscriberConfig{})
	sub.Resolve(func(topic string) (string, string, error) { return bus.EventStream, topic, nil })
	return sub
}

// N5, with two deliveries for ten: a handler that crashes again and again.
func TestRouter_PoisonEndsAsDeadLetterAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	good := make(chan uint64, 10)
	sub := poisoned(ctx, t, s, b)
	must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", 1))))
	must[bus.Appended](t)(b.Append(ctx, requested(backup("orders", 2))))
	handle(ctx, t, b, sub, "twice", func(msg *message.Message) error {
		ev, _, err := bus.EventOf(msg)
		if err != nil {
			return err
		}
		if ev.Seq == 1 {
			panic("password=hunter2")
		}
		good <- ev.Seq
		return nil
	})
	if got := receive(t, "the good message", good); got != 2 {
		t.Errorf("handled %d, want 2", got)
	}
	settled(ctx, t, s, "twice", 2)
	dead := deadLetter(ctx, t, s, 1)
	if want := "backupbus.v1.deadletter.notifier.shop.max_deliveries"; dead.Subject != want {
		t.Errorf("subject %s, want %s", dead.Subject, want)
	}
	text := dead.Header.Get(bus.DeadLetterPrefix + "Error")
	if strings.Contains(text, "hunter2") || !strings.Contains(text, "panic") {
		t.Errorf("error %q: want the panic, redacted", text)
	}
	if n := dead.Header.Get(bus.DeadLetterPrefix + "Deliveries"); n != "2" {
		t.Errorf("deliveries %s, want 2", n)
	}
}

func deadLetter(ctx context.Context, t testing.TB, s *bustest.Server, seq uint64) *jetstream.RawStreamMsg {
	t.Helper()
	stream := must[jetstream.Stream](t)(raw(t, s).Stream(ctx, bus.DeadLetterStream))
	var got *jetstream.RawStreamMsg
	eventually(t, "a dead letter", func() bool {
		var err error
		got, err = stream.GetMsg(ctx, seq)
		return err == nil
	})
	return got
}

func TestRouter_UnreadableAndMismatchAreDeadLetters(t *testing.T) {
	t.Parallel()
	ctx, s, b := setup(t)
	publishRaw(ctx, t, s, "backupbus.v1.event.shop.sqlite.orders.backup.x.requested", "no event")
	handle(ctx, t, b, b.Subscriber(bus.SubscriberConfig{}), bus.NotifierDurable, func(msg *message.Message) error {
		_, _, err := bus.EventOf(msg)
		return err
	})
	settled(ctx, t, s, bus.NotifierDurable, 1)
	dead := deadLetter(ctx, t, s, 1)
	if want := "backupbus.v1.deadletter.notifier._.unreadable"; dead.Subject != want {
		t.Errorf("subject %s, want %s", dead.Subject, want)
	}
	if diff := cmp.Diff("no event", string(dead.Data)); diff != "" {
		t.Error(diff)
	}
}

func TestDeadLetter_Headers(t *testing.T) {
	t.Parallel()
	ctx, s, _ := setup(t)
	counted := 0
	b := s.ConnectWith(t, bus.Config{URL: s.URL(), DeadLettered: func(string, string) { counted++ }})
	m := bus.Message{
		Subject: "backupbus.v1.event.example~2Ecom~3Aproj.sqlite.orders.backup.x.failed", Stream: bus.EventStream,
		Header: map[string][]string{"ce-id": {"x-failed"}, "Nats-Msg-Id": {"x-failed"}}, Data: []byte("{}"), Seq: 7, Deliveries: 3,
	}
	cause := errors.New("cannot reach mysql://u:p@h/db\nat all " + strings.Repeat("x", 2000))
	for range 2 {
		if err := b.DeadLetter(ctx, "tracker", bus.IllegalTransition, m, cause); err != nil {
			t.Fatal(err)
		}
	}
	if counted != 1 {
		t.Errorf("counted %d, want 1", counted)
	}
	dead := deadLetter(ctx, t, s, 1)
	if want := "backupbus.v1.deadletter.tracker.example~2Ecom~3Aproj.illegal_transition"; dead.Subject != want {
		t.Errorf("subject %s, want %s", dead.Subject, want)
	}
	for name, want := range map[string]string{
		"Reason": bus.IllegalTransition, "Service": "tracker", "Stream": bus.EventStream,
		"Sequence": "7", "Subject": m.Subject, "Deliveries": "3",
	} {
		if got := dead.Header.Get(bus.DeadLetterPrefix + name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	text := dead.Header.Get(bus.DeadLetterPrefix + "Error")
	if len(text) > 1024 || strings.Contains(text, "u:p") || !strings.HasPrefix(text, "cannot reach mysql://[redacted]") {
		t.Errorf("error %q", text)
	}
	if _, err := time.Parse(time.RFC3339, dead.Header.Get(bus.DeadLetterPrefix+"Time")); err != nil {
		t.Error(err)
	}
	if got := dead.Header["ce-id"]; len(got) != 1 || got[0] != "x-failed" {
		t.Errorf("ce-id is %q: the message is not as it was", got)
	}
	if err := b.DeadLetter(ctx, "tracker", bus.ForbiddenContent, m, cause); err != nil {
		t.Fatal(err)
	}
	if got := string(deadLetter(ctx, t, s, 2).Data); !strings.HasPrefix(got, "sha256:") {
		t.Errorf("body %q, want its hash", got)
	}
}

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	var got []time.Duration
	for n := range 8 {
		got = append(got, bus.RetryDelay(n))
	}
	const s = time.Second
	if diff := cmp.Diff([]time.Duration{s, s, 5 * s, 15 * s, 60 * s, 300 * s, 300 * s, 300 * s}, got); diff != "" {
		t.Error(diff)
	}
}
