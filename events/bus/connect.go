package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// ErrUnavailable is returned when the bus did not answer. Whatever was asked may or may not have
// happened; asking again is always safe.
var ErrUnavailable = events.ErrUnavailable

// DefaultName is the deployment's name where none is configured (events.md 1.2).
const DefaultName = "bus.local"

const (
	answerWait  = 5 * time.Second // for a PubAck or any other answer (events.md 3.2)
	asyncWindow = 1024            // publishes whose PubAck is awaited at once
)

// Config says how to reach the bus. Either URL or InProcess is needed.
type Config struct {
	URL string // servers, comma separated
	// InProcess is the embedded server of the single process; it wins over URL.
	InProcess interface{ InProcessConn() (net.Conn, error) }
	// Client is the connection's name at the server, for example requester.
	Client string
	// CredentialsFile holds the seed of a nkey, or is a .creds file. Nobody but its owner may read it.
	CredentialsFile string
	// User and Password are for an embedded server that has made them at its start.
	User, Password string
	// InboxPrefix is where answers arrive; each service has its own (events.md 4.6). Default `_INBOX`.
	InboxPrefix string
	// Bus is the deployment's name in every `source`. It never changes. Default DefaultName.
	Bus string
	Log *slog.Logger // default: slog.Default()
	// DeadLettered is called once for every dead letter that was stored, for a counter; may be nil.
	DeadLettered func(service, reason string)
}

// Bus is a connection to the log. It reconnects for ever.
type Bus struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	name   string
	log    *slog.Logger
	dead   func(service, reason string)
	cuts   cuts
	closed chan struct{}
	close  sync.Once
}

// Connect reaches the bus and keeps trying until it has, or ctx ends (then ErrUnavailable). ctx has no
// influence afterwards; whoever connects closes.
func Connect(ctx context.Context, c Config) (*Bus, error) {
	b := &Bus{name: c.Bus, log: c.Log, dead: c.DeadLettered, closed: make(chan struct{})}
	if b.name == "" {
		b.name = DefaultName
	}
	if b.log == nil {
		b.log = slog.Default()
	}
	b.cuts.next = make(chan struct{})
	o := b.options(c)
	if c.CredentialsFile != "" {
		proof, err := credentials(c.CredentialsFile)
		if err != nil {
			return nil, err
		}
		o = append(o, proof)
	}
	var err error
	if b.nc, err = nats.Connect(c.URL, o...); err != nil {
		return nil, fmt.Errorf("connect to bus: %w", err)
	}
	if err := b.waitConnected(ctx); err != nil {
		b.nc.Close()
		return nil, err
	}
	b.js, err = jetstream.New(b.nc, jetstream.WithDefaultTimeout(answerWait),
		jetstream.WithPublishAsyncMaxPending(asyncWindow), jetstream.WithPublishAsyncTimeout(answerWait))
	if err != nil {
		b.nc.Close()
		return nil, fmt.Errorf("connect to bus: %w", err)
	}
	return b, nil
}

func (b *Bus) options(c Config) []nats.Option {
	o := []nats.Option{
		nats.Name(c.Client),
		nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(200 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, 500*time.Millisecond),
		nats.DrainTimeout(answerWait),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			b.cuts.happened()
			if err != nil {
				b.log.Warn("bus disconnected", "error", events.Redact(err.Error()))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.log.Info("bus reconnected", "server", nc.ConnectedServerName())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("bus reported an error", "error", events.Redact(err.Error()))
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(b.closed) }),
	}
	if c.InProcess != nil {
		o = append(o, nats.InProcessServer(c.InProcess))
	}
	if c.User != "" {
		o = append(o, nats.UserInfo(c.User, c.Password))
	}
	if c.InboxPrefix != "" {
		o = append(o, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	return o
}

func (b *Bus) waitConnected(ctx context.Context) error {
	status := b.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer b.nc.RemoveStatusListener(status)
	for !b.nc.IsConnected() {
		select {
		case <-status:
			if b.nc.IsClosed() {
				return fmt.Errorf("connect to bus: %w: %w", ErrUnavailable, b.lastError())
			}
		case <-ctx.Done():
			return fmt.Errorf("connect to bus: %w: %w: %w", ErrUnavailable, ctx.Err(), b.lastError())
		}
	}
	return nil
}

func (b *Bus) lastError() error {
	if err := b.nc.LastError(); err != nil {
		return err
	}
	return errors.New("no connection")
}

// Name is the deployment's name, as it stands in sources.
func (b *Bus) Name() string { return b.name }

// Healthy returns nil while the connection stands, else an error that says why not.
func (b *Bus) Healthy() error {
	if b.nc.IsConnected() {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, b.nc.Status(), b.lastError())
}

// Close lets outstanding publishes and subscriptions finish, at most ten seconds, and closes the
// connection. Calling it again waits for the first call and does nothing.
func (b *Bus) Close() {
	b.close.Do(func() {
		patience := time.NewTimer(2 * answerWait)
		defer patience.Stop()
		if b.nc.IsConnected() {
			select {
			case <-b.js.PublishAsyncComplete():
			case <-patience.C:
			}
		}
		if err := b.nc.Drain(); err != nil {
			b.nc.Close()
		}
		select {
		case <-b.closed:
		case <-patience.C:
			b.nc.Close()
		}
	})
}

// cuts tells readers that the line was cut: what was on its way to them may be lost.
type cuts struct {
	mu   sync.Mutex
	next chan struct{}
}

// watch returns a channel that is closed at the next cut.
func (c *cuts) watch() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

func (c *cuts) happened() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.next)
	c.next = make(chan struct{})
}

// unreachable tells an error that says nothing about the question, only that no answer came.
func unreachable(err error) bool {
	for _, e := range []error{nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrDisconnected,
		nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting, nats.ErrConnectionDraining,
		jetstream.ErrNoStreamResponse, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code == 503
}

// pause waits d, or until ctx ends: then false.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
