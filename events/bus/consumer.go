package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// Consumer is a durable pull consumer of the log for a program of others (events.md 6.1).
type Consumer struct {
	Name       string    `json:"name"`
	Filter     string    `json:"filter"`
	Created    time.Time `json:"created"`
	Waiting    uint64    `json:"waiting"`    // events that were not delivered yet
	AckPending int       `json:"ackPending"` // delivered, not acknowledged
}

// ConsumerConfig is what differs between such consumers.
type ConsumerConfig struct {
	Name      string
	Filter    string    // one subject filter, from ConsumerFilter
	Beginning bool      // start with the oldest event
	Since     time.Time // else with what was stored then or later; zero: with the next one
}

// ErrConsumerExists is returned for a name that has a consumer with other settings.
var ErrConsumerExists = errors.New("a consumer of that name exists with other settings: delete it, or take another name")

// ErrNoConsumer is returned for a name that has none.
var ErrNoConsumer = errors.New("there is no consumer of that name")

var consumerName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// CheckConsumerName refuses what cannot be, or is a service's.
func CheckConsumerName(name string) error {
	if !consumerName.MatchString(name) {
		return errors.New("a consumer's name has 1 to 64 letters, digits, - and _")
	}
	if ReservedConsumer(name) {
		return fmt.Errorf("%s belongs to a service: take another name", name)
	}
	return nil
}

// ConsumerFilter matches the events of a project, or of one of its instances, and of a type: backup.failed, or
// backup.* for all of an entity. Empty means any.
func ConsumerFilter(project, instance, eventType string) (string, error) {
	p, err := events.Token(project)
	if err != nil {
		return "", fmt.Errorf("project: %w", err)
	}
	if instance == "" && eventType == "" {
		return events.EventRoot + "." + p + ".>", nil
	}
	i, entity, step := "*", "*", "*"
	if instance != "" {
		if i, err = events.Token(instance); err != nil {
			return "", fmt.Errorf("instance: %w", err)
		}
	}
	if eventType != "" {
		if entity, step, err = typeTokens(eventType); err != nil {
			return "", err
		}
	}
	return strings.Join([]string{events.EventRoot, p, "*", i, entity, "*", step}, "."), nil
}

func typeTokens(s string) (entity, step string, err error) {
	name := strings.TrimPrefix(s, "dev.backupbus.")
	if parsed, err := events.ParseType("dev.backupbus." + name); err == nil {
		name = parsed.Name()
	}
	entity, step, ok := strings.Cut(name, ".")
	if !ok || !consumerName.MatchString(entity) || step != "*" && !consumerName.MatchString(step) {
		return "", "", fmt.Errorf("type %q is neither one as backup.failed nor all of an entity as backup.*", events.Clip(s, 100))
	}
	return entity, step, nil
}

// CreateConsumer makes one with the settings of events.md 6.1. Made again with the same it is left as it is,
// position included.
func (b *Bus) CreateConsumer(ctx context.Context, c ConsumerConfig) (Consumer, error) {
	if err := CheckConsumerName(c.Name); err != nil {
		return Consumer{}, err
	}
	conf := jetstream.ConsumerConfig{
		Durable: c.Name, FilterSubject: c.Filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second,
		MaxDeliver: -1, MaxAckPending: 256, DeliverPolicy: jetstream.DeliverNewPolicy,
	}
	switch {
	case c.Beginning:
		conf.DeliverPolicy = jetstream.DeliverAllPolicy
	case !c.Since.IsZero():
		since := c.Since.UTC()
		conf.DeliverPolicy, conf.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	made, err := b.js.CreateConsumer(ctx, EventStream, conf)
	switch {
	case errors.Is(err, jetstream.ErrConsumerExists):
		return Consumer{}, ErrConsumerExists
	case err != nil:
		return Consumer{}, fmt.Errorf("create consumer: %w", b.answer(ctx, err))
	}
	return consumerOf(made.CachedInfo()), nil
}

// Consumers are those of a project, by name.
func (b *Bus) Consumers(ctx context.Context, project string) ([]Consumer, error) {
	whole, err := ConsumerFilter(project, "", "")
	if err != nil {
		return nil, err
	}
	all, err := b.foreignConsumers(ctx)
	if err != nil {
		return nil, err
	}
	out := []Consumer{}
	for _, c := range all {
		if strings.HasPrefix(c.Config.FilterSubject, strings.TrimSuffix(whole, ">")) {
			out = append(out, consumerOf(c))
		}
	}
	slices.SortFunc(out, func(a, b Consumer) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// DeleteConsumer removes one and its position.
func (b *Bus) DeleteConsumer(ctx context.Context, name string) error {
	if err := CheckConsumerName(name); err != nil {
		return err
	}
	err := b.js.DeleteConsumer(ctx, EventStream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return ErrNoConsumer
	}
	if err != nil {
		return fmt.Errorf("delete consumer: %w", b.answer(ctx, err))
	}
	return nil
}

// foreignConsumers are the durables that no service made.
func (b *Bus) foreignConsumers(ctx context.Context) ([]*jetstream.ConsumerInfo, error) {
	s, err := b.js.Stream(ctx, EventStream)
	if err != nil {
		return nil, fmt.Errorf("list consumers: %w", b.answer(ctx, err))
	}
	list := s.ListConsumers(ctx)
	var all []*jetstream.ConsumerInfo
	for c := range list.Info() {
		if c.Config.Durable != "" && !ReservedConsumer(c.Name) {
			all = append(all, c)
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list consumers: %w", b.answer(ctx, err))
	}
	return all, nil
}

func consumerOf(c *jetstream.ConsumerInfo) Consumer {
	return Consumer{Name: c.Name, Filter: c.Config.FilterSubject, Created: c.Created.UTC(), Waiting: c.NumPending, AckPending: c.NumAckPending}
}
