package notifier

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// childEnv makes this test program a notifier: the address of the bus and the sink of its subscription.
const childEnv = "BACKUPBUS_TEST_NOTIFIER"

func TestMain(m *testing.M) {
	if to := os.Getenv(childEnv); to != "" {
		url, sink, _ := strings.Cut(to, " ")
		if err := child(url, sink); err != nil {
			slog.Error("notifier", "error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child is a notifier in a process of its own, until it is killed.
func child(url, sink string) error {
	ctx := context.Background()
	b, err := bus.Connect(ctx, bus.Config{URL: url, Client: "notifier"})
	if err != nil {
		return err
	}
	defer b.Close()
	port := netip.MustParseAddrPort(strings.TrimPrefix(sink, "http://")).Port()
	n, err := newService(ctx, Deps{Bus: b, Log: slog.New(slog.DiscardHandler), Now: time.Now, Env: func(string) (string, bool) { return signingKey, true }},
		Config{AllowCIDRs: []string{"127.0.0.1/32"}, AllowedPorts: []int{int(port)}, Subscriptions: []subscription.Subscription{pendingOf(sink)}}, quick())
	if err != nil {
		return err
	}
	n.patience = time.Second
	return n.Run(ctx, func() {})
}

// pendingOf is the subscription of W18.
func pendingOf(sink string) subscription.Subscription {
	return subscription.Subscription{Name: "a", Project: "shop", Sink: subscription.URL(sink), SecretRef: "env:SECRET", RatePerMinute: 60_000}
}

// W18 and W20: SIGKILL with a thousand pending; another notifier takes over, all are delivered, at most one in a
// hundred twice.
func TestW18_KilledWithAThousandPending(t *testing.T) {
	t.Parallel()
	const many = 1000
	w := newWorld(t)
	var mu sync.Mutex
	seen := map[string]int{}
	reached := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		mu.Lock()
		defer mu.Unlock()
		if seen[req.Header.Get("webhook-id")]++; len(seen) == many/3 {
			close(reached)
		}
	}))
	t.Cleanup(s.Close)
	w.subscribe("shop", "a", s.URL, func(s *subscription.Subscription) { *s = pendingOf(string(s.Sink)) })
	var want []string
	for range many {
		want = append(want, w.backup("shop", "orders").ID)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+w.server.URL()+" "+s.URL)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	defer kill()
	receive(t, "a third has been sent", reached)
	kill()
	w.start()
	w.accounted(many)
	mu.Lock()
	defer mu.Unlock()
	twice := 0
	for _, id := range want {
		switch n := seen[id]; {
		case n == 0:
			t.Errorf("%s was never sent", id)
		case n > 1:
			twice++
		}
	}
	t.Logf("%d of %d were sent twice", twice, many)
	if twice > many/100 {
		t.Errorf("%d were sent twice, more than one in a hundred", twice)
	}
}
