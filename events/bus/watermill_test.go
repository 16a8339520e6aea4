package bus_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
)

// suite runs Watermill's own tests, with a stream for each topic and a durable for each group in it.
type suite struct {
	bus    *bus.Bus
	js     jetstream.JetStream
	window int
}

// groupSubscriber makes what the suite expects to exist.
type groupSubscriber struct {
	*bus.Subscriber
	suite
	group string
}

func (g groupSubscriber) SubscribeInitialize(topic string) error {
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	_, err := g.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: topic, Subjects: []string{topic}, AllowDirect: true})
	if err != nil {
		return err
	}
	_, err = g.js.CreateOrUpdateConsumer(ctx, topic, jetstream.ConsumerConfig{
		Durable: g.group, AckPolicy: jetstream.AckExplicitPolicy, AckWait: soon, MaxAckPending: 1000,
	})
	return err
}

func (s suite) group(_ *testing.T, group string) (message.Publisher, message.Subscriber) {
	sub := s.bus.Subscriber(bus.SubscriberConfig{
		Window: s.window, Grace: 100 * time.Millisecond,
		NakDelay: func(int) time.Duration { return time.Millisecond },
	})
	sub.Resolve(func(topic string) (string, string, error) { return topic, group, nil })
	return s.bus.Publisher(), groupSubscriber{sub, s, group}
}

func (s suite) plain(t *testing.T) (message.Publisher, message.Subscriber) {
	return s.group(t, "plain")
}

func TestWatermillSuite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		window  int
		ordered bool
	}{
		// One message at a time keeps the order, as long as one subscriber reads the durable.
		{"one at a time", 1, true},
		{"many at once", 64, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := bustest.Run(t)
			s := suite{srv.Connect(t), raw(t, srv), c.window}
			tests.TestPubSub(t, tests.Features{
				ConsumerGroups: true, Persistent: true,
				GuaranteedOrder: c.ordered, GuaranteedOrderWithSingleSubscriber: c.ordered,
				GenerateTopicFunc: func(tc tests.TestContext) string {
					return "topic-" + strings.ReplaceAll(string(tc.TestID), ".", "-")
				},
			}, s.plain, s.group)
		})
	}
}
