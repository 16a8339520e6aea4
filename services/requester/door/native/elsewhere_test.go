package native_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/client"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// A requester stops while a client follows: behind the same address, the client goes on at another one, and has every
// event once, in the order of the log.
func TestStream_GoesOnAtAnotherRequester(t *testing.T) { // case L6
	t.Parallel()
	const before, after = 10, 20
	var instances []string // a backup of each: one runs at a time
	for n := range before + after {
		instances = append(instances, fmt.Sprint("db", n))
	}
	p := setup(t, instances...)
	p.Hand.Auto()
	_, second := p.Replica()
	var to atomic.Pointer[url.URL]
	point := func(address string) {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		to.Store(u)
	}
	point(p.URL)
	var opened atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		opened.Add(1)
		r.SetURL(to.Load())
	}})
	t.Cleanup(proxy.Close)
	publish := func(server string, n int) {
		for _, instance := range instances[:n] {
			resp, err := http.Post(server+base+"/backups", "application/json", strings.NewReader(`{"instance":"`+instance+`"}`))
			if err != nil || resp.StatusCode != http.StatusAccepted {
				t.Fatal(resp, err)
			}
			_ = resp.Body.Close()
		}
		instances = instances[n:]
	}
	const each = 3 // requested, started, succeeded
	var got []string
	ctx, cancel := context.WithTimeout(t.Context(), pipelinetest.Patience)
	defer cancel()
	publish(p.URL, 1)
	errAllThere := errors.New("all is there")
	start := client.Config{Server: proxy.URL, Project: "shop", Since: time.Now().Add(-time.Hour), Types: []string{"backup.*"}}
	err := client.Subscribe(ctx, start, func(_ context.Context, m client.Message) error {
		switch got = append(got, m.Event.ID); len(got) {
		case 1:
			publish(p.URL, before-1)
		case before * each:
			point(second)
			go p.Requester.Stop()
			publish(second, after)
		case (before + after) * each:
			return errAllThere
		}
		return nil
	})
	if !errors.Is(err, errAllThere) {
		t.Fatalf("after %d events: %v", len(got), err)
	}
	var want []string
	for _, e := range p.Events("shop") {
		if e.Entity() == events.Backups {
			want = append(want, e.ID)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if opened.Load() != 2 {
		t.Errorf("%d streams were opened", opened.Load())
	}
}
