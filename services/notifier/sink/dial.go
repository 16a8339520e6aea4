package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// Limits of one connection (events.md 7.7.7).
const (
	resolveWait = 2 * time.Second
	connectWait = 5 * time.Second
	tlsWait     = 5 * time.Second
)

// failure is an error that knows in which phase it happened.
type failure struct {
	outcome delivery.Outcome
	err     error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failed names the outcome of an error of a phase. Running out of time is TIMEOUT in every phase.
func failed(phase delivery.Outcome, what string, err error) error {
	var timeout interface{ Timeout() bool }
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		phase = delivery.Timeout
	}
	return &failure{phase, fmt.Errorf("%s: %w", what, err)}
}

// dialer makes the connections to one sink. Whatever address the transport asks for, it dials the sink's.
type dialer struct {
	rules   Rules
	sink    Sink
	connect func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

func newDialer(r Rules, s Sink) *dialer {
	d := net.Dialer{KeepAlive: 15 * time.Second}
	return &dialer{r, s, func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", to.String())
	}}
}

// plain dials for http.
func (d *dialer) plain(ctx context.Context, _, _ string) (net.Conn, error) {
	addrs, err := d.resolve(ctx)
	if err != nil {
		return nil, err
	}
	// Every address is judged before any is dialled: one forbidden address of a name refuses them all.
	for _, a := range addrs {
		if err := d.rules.judge(a, d.sink.url.Scheme == "http"); err != nil {
			return nil, &failure{delivery.BlockedAddress, err}
		}
	}
	return d.connectAny(ctx, addrs)
}

// secure dials for https.
func (d *dialer) secure(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := d.plain(ctx, network, address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, tlsWait)
	defer cancel()
	c := tls.Client(raw, &tls.Config{ServerName: d.sink.host, RootCAs: d.rules.Roots, MinVersion: tls.VersionTLS12})
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, failed(delivery.TLSFailure, "TLS", err)
	}
	return c, nil
}

func (d *dialer) resolve(ctx context.Context) ([]netip.Addr, error) {
	if d.sink.addr.IsValid() {
		return []netip.Addr{d.sink.addr}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	addrs, err := d.rules.Resolver.LookupNetIP(ctx, "ip", d.sink.host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("the name has no address")
	}
	if err != nil {
		return nil, failed(delivery.DNSFailure, "resolve "+d.sink.host, err)
	}
	return addrs, nil
}

// connectAny tries the addresses in turn, within five seconds; each gets an even part of them, though no
// less than one second.
func (d *dialer) connectAny(ctx context.Context, addrs []netip.Addr) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	part := max(connectWait/time.Duration(len(addrs)), time.Second)
	var last error
	for _, a := range addrs {
		one, done := context.WithTimeout(ctx, part)
		c, err := d.connect(one, netip.AddrPortFrom(a.Unmap(), d.sink.port))
		done()
		if err == nil {
			return c, nil
		}
		if last = err; ctx.Err() != nil {
			break
		}
	}
	return nil, failed(delivery.ConnectFailure, "connect", last)
}
