package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// SubscriberConfig says how a Subscriber handles what it receives.
type SubscriberConfig struct {
	// Window is how many messages of one Subscribe are in handlers' hands at most; default 64. With 1 they
	// come strictly one after the other. For work longer than AckWait it should be the durable's
	// MaxAckPending: what is prefetched beyond the window is not marked as in progress.
	Window int
	// Grace is how long Close waits for handlers after their contexts have ended; default 20 s. What is not
	// settled by then is handed back.
	Grace time.Duration
	// OnDemand fetches a message only when a slot of the window is free, one by one: nothing waits here
	// unmarked while handlers are at work for longer than AckWait. It is slower (a round trip a message).
	OnDemand bool
	// NakDelay is when a message is redelivered that a handler only Nacked; default RetryDelay.
	NakDelay func(deliveries int) time.Duration
}

// Subscriber is Watermill's subscriber over JetStream; the topic is the name of a durable that Provision
// has made.
type Subscriber struct {
	bus     *Bus
	config  SubscriberConfig
	resolve func(topic string) (stream, durable string, err error)

	mu      sync.Mutex
	stopped bool
	closing chan struct{}
	running sync.WaitGroup // one per Subscribe
}

var _ message.Subscriber = (*Subscriber)(nil)

// Subscriber makes a subscriber on this connection.
func (b *Bus) Subscriber(c SubscriberConfig) *Subscriber {
	if c.Window <= 0 {
		c.Window = 64
	}
	if c.Grace <= 0 {
		c.Grace = 20 * time.Second
	}
	if c.NakDelay == nil {
		c.NakDelay = RetryDelay
	}
	return &Subscriber{bus: b, config: c, resolve: ownDurable, closing: make(chan struct{})}
}

func ownDurable(topic string) (stream, durable string, err error) {
	stream, ok := StreamOf(topic)
	if !ok {
		return "", "", fmt.Errorf("durable %q is none of events.md 4.5", topic)
	}
	return stream, topic, nil
}

// Subscribe delivers the durable's messages, at least once each, up to Window at a time, in the order of
// the stream unless one is redelivered. Other subscribers of the durable share its messages. A message is
// kept from redelivery by in-progress marks until it is Acked or Nacked. When ctx ends or Close is called
// the messages' contexts end, what no handler holds is handed back, and the channel is closed. It survives
// reconnects, server restarts and a durable that is made anew.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	stream, durable, err := s.resolve(topic)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, errors.New("subscribe: subscriber is closed")
	}
	cons, err := s.bus.js.Consumer(ctx, stream, durable)
	if err != nil {
		return nil, fmt.Errorf("subscribe to durable %s of %s: %w", durable, stream, err)
	}
	sub := newSubscription(s.bus, s.config, stream, durable)
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		sub.run(ctx, s.closing, cons)
	}()
	return sub.out, nil
}

// Close ends all subscriptions and waits until their messages are settled, Grace at most. Calling it again
// does nothing.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// subscription is one Subscribe: one goroutine that fetches and hands out, one per message that waits for
// its settlement.
type subscription struct {
	bus             *Bus
	config          SubscriberConfig
	stream, durable string
	out             chan *message.Message
	slots           chan struct{} // taken while a handler holds a message
	settling        sync.WaitGroup
}

func newSubscription(b *Bus, c SubscriberConfig, stream, durable string) *subscription {
	return &subscription{
		bus: b, config: c, stream: stream, durable: durable,
		out: make(chan *message.Message), slots: make(chan struct{}, c.Window),
	}
}

// run fetches until ctx ends or closing is closed, then waits for what is in handlers' hands. Only it
// sends on out, so only it closes out.
func (s *subscription) run(ctx context.Context, closing <-chan struct{}, cons jetstream.Consumer) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	for ctx.Err() == nil && !s.bus.nc.IsClosed() {
		fetch := s.fetch
		if s.config.OnDemand {
			fetch = s.fetchOnDemand
		}
		err := fetch(ctx, cons)
		if ctx.Err() != nil {
			break
		}
		s.bus.log.WarnContext(ctx, "subscription interrupted", "durable", s.durable, "error", err)
		cons = s.bind(ctx, cons)
	}
	cancel()
	<-ended
	close(s.out)
	s.settling.Wait()
}

// bind looks the durable up again: it may have been made anew with other settings.
func (s *subscription) bind(ctx context.Context, old jetstream.Consumer) jetstream.Consumer {
	for pause(ctx, time.Second) && !s.bus.nc.IsClosed() {
		if cons, err := s.bus.js.Consumer(ctx, s.stream, s.durable); err == nil {
			return cons
		}
	}
	return old
}

// fetch hands out messages through one iterator until it breaks or ctx ends.
func (s *subscription) fetch(ctx context.Context, cons jetstream.Consumer) error {
	// The client library stalls when it may prefetch only one message.
	iter, err := cons.Messages(jetstream.PullMaxMessages(max(s.config.Window, 2)),
		jetstream.WithMessagesErrOnMissingHeartbeat(false), jetstream.PullExpiry(10*time.Second))
	if err != nil {
		return err
	}
	defer handBack(iter)
	c := cons.CachedInfo().Config
	for {
		m, err := iter.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		s.receive(ctx, m, c, func() bool { return s.slot(ctx) })
	}
}

// handBack ends the iterator and gives the messages back that it still holds, so that others need not wait
// for AckWait.
func handBack(iter jetstream.MessagesContext) {
	iter.Drain()
	for {
		m, err := iter.Next(jetstream.NextMaxWait(time.Second))
		if err != nil {
			iter.Stop()
			return
		}
		_ = m.Nak()
	}
}

// onDemandWait is how long one request for a message stands.
const onDemandWait = 3 * time.Second

// fetchOnDemand hands out messages one by one, each when a slot is free, until fetching breaks or ctx ends.
func (s *subscription) fetchOnDemand(ctx context.Context, cons jetstream.Consumer) error {
	c := cons.CachedInfo().Config
	for {
		if !s.slot(ctx) {
			return ctx.Err()
		}
		wait, cancel := context.WithTimeout(ctx, onDemandWait)
		m, err := cons.Next(jetstream.FetchContext(wait))
		cancel()
		switch {
		case err == nil:
			s.receive(ctx, m, c, func() bool { return true })
			continue
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, jetstream.ErrNoMessages):
			<-s.slots
			continue
		}
		<-s.slots
		return err
	}
}

// slot takes a slot of the window, or tells that ctx ended first.
func (s *subscription) slot(ctx context.Context) bool {
	select {
	case s.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// receive takes charge of a message and waits for a slot, and until a handler takes it, or ctx ends.
func (s *subscription) receive(ctx context.Context, m jetstream.Msg, c jetstream.ConsumerConfig, slot func() bool) {
	got, err := received(m)
	if err != nil { // no reply subject of JetStream: it cannot even be settled
		s.bus.log.WarnContext(ctx, "message without metadata", "durable", s.durable, "error", err)
		if slot() {
			<-s.slots
		}
		return
	}
	d := &delivery{Message: got, durable: s.durable, maxDeliver: max(c.MaxDeliver, 0), closing: ctx.Done()}
	held, release := context.WithCancel(ctx)
	msg := d.watermill(held)
	s.settling.Add(1)
	taken := make(chan struct{})
	go func() {
		defer s.settling.Done()
		defer release()
		s.settle(d, msg, taken, c.AckWait)
	}()
	if !slot() {
		return
	}
	select {
	case s.out <- msg:
		close(taken)
	case <-ctx.Done():
		<-s.slots
	}
}
