package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	webhook "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is a webhook endpoint as anybody would write one with the Standard Webhooks library.
type receiver struct {
	url    string
	server *http.Server
	verify *webhook.Webhook

	mu     sync.Mutex
	got    []delivered
	bad    int
	change chan struct{}
}

type delivered struct{ ID, Type, State string }

func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

func receive(secret string) (*receiver, error) {
	verify, err := webhook.NewWebhook(secret)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{url: "http://" + ln.Addr().String() + "/hook", verify: verify, change: make(chan struct{}, 1)}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = r.server.Serve(ln) }()
	return r, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err == nil {
		err = r.verify.Verify(body, req.Header)
	}
	var ev delivered
	if err == nil {
		err = json.Unmarshal(body, &ev)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.bad++
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.got = append(r.got, ev)
	select {
	case r.change <- struct{}{}:
	default:
	}
}

// await waits until each of the events was delivered.
func (r *receiver) await(ctx context.Context, ids ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if r.has(ids) {
			return nil
		}
		select {
		case <-r.change:
		case <-ctx.Done():
			return errors.New("a webhook did not come")
		}
	}
}

func (r *receiver) has(ids []string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	for _, ev := range r.got {
		seen[ev.ID] = true
	}
	for _, id := range ids {
		if !seen[id] {
			return false
		}
	}
	return r.bad == 0
}

func (r *receiver) print(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range r.got {
		fmt.Fprintf(w, "verified  %-36s %s\n", ev.Type, ev.ID)
	}
}

func (r *receiver) close() { _ = r.server.Close() }
