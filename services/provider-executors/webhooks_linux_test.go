package executors_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/notifier"
	"github.com/backupbus/backupbus/services/notifier/subscription"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// webhooks are what a subscription of everything in project shop was sent, by event id.
type webhooks struct {
	mu     sync.Mutex
	all    map[string][]string // whole requests
	unread []error
	stop   func() // of the notifier
}

func (h *webhooks) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var ev struct {
		ID string `json:"id"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &ev)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.unread = append(h.unread, err)
	}
	h.all[ev.ID] = append(h.all[ev.ID], fmt.Sprint(r.URL, r.Header, string(body)))
}

func (h *webhooks) of(id string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all[id]
}

// subscribed runs a real notifier on the pipeline's bus, with a receiver of all events.
func subscribed(t *testing.T, p *pipelinetest.Pipeline) *webhooks {
	t.Helper()
	h := &webhooks{all: map[string][]string{}}
	receiver := httptest.NewServer(h)
	t.Cleanup(receiver.Close)
	at, err := url.Parse(receiver.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	key := "whsec_" + base64.StdEncoding.EncodeToString([]byte(executortest.Canary+executortest.Canary))
	n, err := notifier.New(t.Context(), notifier.Deps{Bus: p.NATS.ConnectAs(t, bus.NotifierUser), Log: pipelinetest.Logger(t), Now: time.Now,
		Env: func(string) (string, bool) { return executortest.Secret(key), true }},
		notifier.Config{AllowCIDRs: []string{"127.0.0.1/32"}, AllowedPorts: []int{port}, Handshake: "off", Subscriptions: []subscription.Subscription{
			{Name: "all", Project: "shop", Sink: subscription.URL(receiver.URL), SecretRef: "env:KEY"}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- n.Run(ctx, func() { close(ready) }) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("notifier: %v", err)
		}
	})
	t.Cleanup(h.stop)
	select {
	case <-ready:
	case <-time.After(pipelinetest.Patience):
		t.Fatal("the notifier is not ready")
	}
	return h
}

// wantOnce wants one webhook of each event, without a secret in it.
func (h *webhooks) wantOnce(t *testing.T, all []events.Stored) {
	t.Helper()
	for _, ev := range all {
		eventually(t, "the webhook of "+ev.ID, func() bool { return len(h.of(ev.ID)) > 0 })
	}
	h.stop() // nothing is sent after it
	if len(h.unread) > 0 {
		t.Errorf("no events: %v", h.unread)
	}
	for _, ev := range all {
		sent := h.of(ev.ID)
		if len(sent) != 1 {
			t.Errorf("%s was sent %d times: %q", ev.ID, len(sent), sent)
		}
		for _, body := range sent {
			executortest.Unseen(t, "the webhook of "+ev.ID, []byte(body))
		}
	}
}
