package requester

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/requester/door/command"
	"github.com/backupbus/backupbus/services/requester/door/native"
)

// commanding hands the door its share of the commands that all replicas receive.
type commanding struct {
	bus  *bus.Bus
	log  *slog.Logger
	door *command.Door
}

func (c *commanding) run(ctx context.Context) error {
	router, err := bus.NewRouter(c.bus, c.log)
	if err != nil {
		return err
	}
	router.AddConsumerHandler("commands", bus.RequesterDurable, c.bus.Subscriber(bus.SubscriberConfig{}), c.handle)
	return router.Run(ctx)
}

func (c *commanding) handle(msg *message.Message) error {
	meta := bus.MetaOf(msg)
	err := c.evaluate(msg.Context(), command.Message{
		Subject: meta.Subject, Stream: meta.Stream, Seq: meta.Seq, Header: bus.Headers(msg), Body: msg.Payload,
		Redelivered: meta.Deliveries > 1, Last: bus.LastDelivery(msg),
	})
	var dead *command.Dead
	if errors.As(err, &dead) {
		return bus.Refuse(reasons[dead.Fate], err)
	}
	return err
}

var reasons = map[command.Fate]string{
	command.Unreadable: bus.Unreadable, command.Forbidden: bus.ForbiddenContent, command.Failed: bus.Internal,
}

// evaluate makes a panic an error before the message's last delivery is judged: its sender is told of that too.
func (c *commanding) evaluate(ctx context.Context, m command.Message) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = c.door.GiveUp(ctx, m, fmt.Errorf("panic: %v", v))
		}
	}()
	return c.door.Handle(ctx, m)
}

// graveyard is what the native door shows of the dead letters.
type graveyard struct{ bus *bus.Bus }

// List implements native.DeadLetters.
func (g graveyard) List(ctx context.Context, f native.DeadLetterFilter) ([]native.DeadLetter, uint64, error) {
	list, next, err := g.bus.DeadLetters(ctx, bus.DeadLetterFilter(f))
	var out []native.DeadLetter
	for _, d := range list {
		out = append(out, native.DeadLetter(d))
	}
	return out, next, err
}

// Get implements native.DeadLetters.
func (g graveyard) Get(ctx context.Context, project string, seq uint64) (native.DeadLetter, error) {
	d, err := g.bus.DeadLetterAt(ctx, project, seq)
	return native.DeadLetter(d), err
}

// Redrive implements native.DeadLetters.
func (g graveyard) Redrive(ctx context.Context, d native.DeadLetter) (repeat bool, err error) {
	repeat, err = g.bus.Redrive(ctx, bus.Dead(d))
	if errors.Is(err, bus.ErrNotRedrivable) {
		return false, &native.NotRedrivableError{Why: err.Error()}
	}
	return repeat, err
}
