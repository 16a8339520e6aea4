package notifier

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// childEnv makes this test program a notifier: the address of the bus, the sink of its subscription, its rate and its key.
const childEnv = "BACKUPBUS_TEST_NOTIFIER"

func TestMain(m *testing.M) {
	if to := os.Getenv(childEnv); to != "" {
		args := strings.Fields(to)
		rate, _ := strconv.Atoi(args[2])
		if err := child(args[0], args[1], rate, args[3]); err != nil {
			slog.Error("notifier", "error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child is a notifier in a process of its own, until it is killed.
func child(url, sink string, rate int, key string) error {
	ctx := context.Background()
	b, err := bus.Connect(ctx, bus.Config{URL: url, Client: "notifier", CredentialsFile: key, InboxPrefix: bus.InboxPrefix(bus.NotifierUser)})
	if err != nil {
		return err
	}
	defer b.Close()
	port := netip.MustParseAddrPort(strings.TrimPrefix(sink, "http://")).Port()
	n, err := newService(ctx, Deps{Bus: b, Log: slog.New(slog.DiscardHandler), Now: time.Now, Env: func(string) (string, bool) { return signingKey, true }},
		Config{AllowCIDRs: []string{"127.0.0.1/32"}, AllowedPorts: []int{int(port)}, Subscriptions: []subscription.Subscription{pendingOf(sink, rate)}}, quick())
	if err != nil {
		return err
	}
	n.patience = time.Second
	return n.Run(ctx, func() {})
}

// child runs a notifier in a process of its own.
func (w *world) child(sink string, rate int) (p *os.Process, kill func()) {
	w.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d %s", childEnv, w.server.URL(), sink, rate, w.server.Key(bus.NotifierUser)))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return cmd.Process, sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// pendingOf is the subscription of W18.
func pendingOf(sink string, rate int) subscription.Subscription {
	return subscription.Subscription{Name: "a", Project: "shop", Sink: subscription.URL(sink), SecretRef: "env:SECRET", RatePerMinute: rate}
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
	reach := sync.OnceFunc(func() { close(reached) })
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		mu.Lock()
		defer mu.Unlock()
		if seen[req.Header.Get("webhook-id")]++; len(seen) == many/3 {
			reach()
		}
	}))
	t.Cleanup(s.Close)
	w.subscribe("shop", "a", s.URL, func(s *subscription.Subscription) { *s = pendingOf(string(s.Sink), 60_000) })
	var want []string
	for range many {
		want = append(want, w.backup("shop", "orders").ID)
	}
	_, kill := w.child(s.URL, 60_000)
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
