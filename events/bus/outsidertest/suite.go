// Package outsidertest is the suite of what a program of others may do on the bus, and what it may not (events.md
// 4.6), with plain NATS clients. Whoever sets up a server for outsiders passes it.
package outsidertest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/schemas"
)

const patience = 30 * time.Second // for a loaded machine; nothing waits it out when all is well

// Server is a provisioned bus without events, with an executor of sqlite.
type Server struct {
	Outside string // address for programs of others
	Inside  string // with the credentials of a service
}

// Run holds the server against the suite. The cases run one after the other, as they look at the same log.
func Run(t *testing.T, s Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	in, out := connect(t, s.Inside), connect(t, s.Outside)
	fill(ctx, t, in)
	for _, c := range []struct {
		name string
		run  func(context.Context, *testing.T, Server, *client, *client)
	}{
		{"reads with consumers of its own", reads},
		{"sends commands", sends},
		{"publishes nothing else", publishesNothingElse},
		{"no answer becomes an event", answersStayOutside},
		{"consumers deliver to their own inbox only", noPush},
		{"a consumer has one filter and no service's name", oneFilter},
		{"durables of the services stay theirs", durablesStay},
		{"hears nothing of the services", hearsNothingElse},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := logged(ctx, t, in)
			c.run(ctx, t, s, in, out)
			if after := logged(ctx, t, in); after != before {
				t.Errorf("the log was %+v and is %+v", before, after)
			}
		})
	}
}

// client is a plain NATS client that notes what it is refused.
type client struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	refused chan string
}

func connect(t *testing.T, url string) *client {
	t.Helper()
	c := &client{refused: make(chan string, 100)}
	var err error
	c.nc, err = nats.Connect(url, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.refused <- err.Error() }))
	if err == nil {
		t.Cleanup(c.nc.Close)
		c.js, err = jetstream.New(c.nc)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fill stores events of project shop.
func fill(ctx context.Context, t *testing.T, in *client) {
	t.Helper()
	for _, step := range []string{"requested", "started", "succeeded"} {
		body, err := schemas.Example("dev.backupbus.backup." + step + ".v1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.js.PublishMsg(ctx, &nats.Msg{
			Subject: "backupbus.v1.event.shop.sqlite.orders-db.backup.bk_1." + step,
			Header:  nats.Header{"content-type": {"application/cloudevents+json"}}, Data: body,
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// isRefused publishes on a subject and wants that the server refuses it.
func (c *client) isRefused(ctx context.Context, t *testing.T, subject string, body string) {
	t.Helper()
	if err := c.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: c.nc.NewRespInbox(), Data: []byte(body)}); err != nil {
		t.Fatal(err)
	}
	c.saysNo(ctx, t, subject)
}

// saysNo waits until the server has refused what names the subject.
func (c *client) saysNo(ctx context.Context, t *testing.T, subject string) {
	t.Helper()
	if err := c.nc.FlushWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case text := <-c.refused: // the client writes subjects in lower case
			if strings.Contains(strings.ToLower(text), strings.ToLower(`"`+subject+`"`)) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("%s was not refused", subject)
		}
	}
}

// state is what outsiders must not change.
type state struct {
	Msgs, First, Last    uint64
	Durables, Deleted    int
	DeadLetters, Pending uint64
}

func logged(ctx context.Context, t *testing.T, in *client) state {
	t.Helper()
	st, err := in.js.Stream(ctx, bus.EventStream)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := in.js.Stream(ctx, bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	i := st.CachedInfo().State
	out := state{Msgs: i.Msgs, First: i.FirstSeq, Last: i.LastSeq, Deleted: i.NumDeleted, DeadLetters: dead.CachedInfo().State.Msgs}
	list := st.ListConsumers(ctx)
	for c := range list.Info() {
		if bus.ReservedConsumer(c.Name) {
			out.Durables++
			out.Pending += c.NumPending
		}
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

const all = events.AllEvents
