package sink

import (
	"context"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// resolver answers with what it is told.
type resolver func(host string) ([]netip.Addr, error)

func (r resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return r(host)
}

func addrs(list ...string) []netip.Addr {
	out := make([]netip.Addr, len(list))
	for i, s := range list {
		out[i] = netip.MustParseAddr(s)
	}
	return out
}

// local are rules under which a test's own server may be reached.
func local(t testing.TB, server string) Rules {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return Rules{AllowCIDRs: loopback, Ports: []int{port}, Origin: "bus.test", Version: "1.2.3",
		Resolver: resolver(func(string) ([]netip.Addr, error) { return addrs("127.0.0.1"), nil })}
}

// trusting is local for a server with a certificate of its own.
func trusting(t testing.TB, s *httptest.Server) Rules {
	t.Helper()
	r := local(t, s.URL)
	r.Roots = x509.NewCertPool()
	r.Roots.AddCert(s.Certificate())
	return r
}

func webhook(t testing.TB, r Rules, url string) *Webhook {
	t.Helper()
	s, err := r.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	w := r.New(s, Options{Idle: 8})
	t.Cleanup(w.Close)
	return w
}

// post makes an attempt that may take so long.
func post(t testing.TB, w *Webhook, timeout time.Duration) delivery.Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return w.Post(ctx, delivery.Request{Event: events.Event{ID: "evt-1"}, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", SubscriptionID: "su_x", DeliveryID: "dl_x", Attempt: 3,
		At: time.Unix(1700000000, 0), Signature: "v1,abc", Body: []byte(`{"test":1}`)})
}

const soon = 20 * time.Second

func wantFailure(t testing.TB, a delivery.Answer, want delivery.Outcome) {
	t.Helper()
	if a.Failure != want || a.Status != 0 || a.Err == nil {
		t.Errorf("want %s, got %s, status %d: %v", want, a.Failure, a.Status, a.Err)
	}
}

// counted is a connection that counts what is read from it.
type counted struct {
	net.Conn
	read *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}
