package bus_test

import (
	"context"
	"fmt"
	logging "log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// A program of one's own reads the events of a project from where it was, with a consumer that
// `backupbus events consumer create warehouse --project shop --from beginning` has made. An event comes again if it is
// not acknowledged within 30 seconds: what is not higher than the highest sequence of its source is known.
func Example_consumer() {
	nc, err := nats.Connect("nats://127.0.0.1:4222")
	if err != nil {
		logging.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		logging.Fatal(err)
	}
	consumer, err := js.Consumer(context.Background(), "BACKUP_EVENTS", "warehouse")
	if err != nil {
		logging.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		logging.Fatal(err)
	}
	defer messages.Stop()
	highest := map[string]string{} // in a program: stored together with the effect
	for {
		m, err := messages.Next()
		if err != nil {
			logging.Fatal(err)
		}
		ev, err := events.Parse(m.Headers(), m.Data())
		if err == nil && ev.Sequence > highest[ev.Source] {
			fmt.Println(ev.Time, ev.Type, ev.Subject)
			highest[ev.Source] = ev.Sequence
		}
		if err := m.Ack(); err != nil {
			logging.Fatal(err)
		}
	}
}
