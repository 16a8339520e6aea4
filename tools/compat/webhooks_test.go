package compat

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// modes are both values of contentMode.
var modes = []string{"structured", "binary"}

// lifecycle are the events that a backup has at least.
var lifecycle = []string{"dev.backupbus.backup.requested.v1", "dev.backupbus.backup.started.v1", "dev.backupbus.backup.succeeded.v1"}

// decoded is what a receiver's SDK made of an event.
type decoded struct {
	ID, Type, Source string
	Data             any
}

// Webhooks in both modes go through the receivers of the CloudEvents SDKs for Go and Node, behind the verification of
// the Standard Webhooks libraries: they decode to what was told, and a changed body is refused.
func TestWebhooks_SDKReceivers(t *testing.T) {
	t.Parallel()
	node := startNodeReceiver(t)
	receivers := map[string]*goReceiver{}
	ports := []string{portOf(t, node.url)}
	for _, mode := range modes {
		receivers[mode] = startGoReceiver(t)
		ports = append(ports, portOf(t, receivers[mode].url))
	}
	settings := filepath.Join(t.TempDir(), "settings.yaml")
	text := fmt.Sprintf("notifier:\n  allowCidrs: [127.0.0.1/32]\n  allowedPorts: [%s]\n", strings.Join(ports, ", "))
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := startUpWith(t, settings)
	register(t, server, "orders")
	secrets := map[string]string{}
	for _, mode := range modes {
		receivers[mode].verifyWith(t, subscribe(t, server, receivers[mode].url, mode))
		secrets["/"+mode] = subscribe(t, server, node.url+"/"+mode, mode)
	}
	node.verifyWith(t, secrets)
	backUp(t, server, "orders")

	inGo, inNode := map[string][]decoded{}, node.take(t, len(modes)*len(lifecycle))
	for _, mode := range modes {
		inGo[mode] = receivers[mode].take(t, len(lifecycle))
	}
	want := toldOf(t, server, lifecycle)
	if len(want) != len(lifecycle) {
		t.Fatalf("told %v", want)
	}
	for _, mode := range modes {
		if diff := cmp.Diff(want, byType(inGo[mode])); diff != "" {
			t.Errorf("Go, %s: %s", mode, diff)
		}
		if diff := cmp.Diff(want, byType(inNode["/"+mode])); diff != "" {
			t.Errorf("Node, %s: %s", mode, diff)
		}
		receivers[mode].refusesChanged(t)
	}
}

func byType(list []decoded) []decoded {
	return slices.SortedFunc(slices.Values(list), func(a, b decoded) int { return strings.Compare(a.Type, b.Type) })
}

// toldOf are the events of some types as the API has them.
func toldOf(t *testing.T, server string, types []string) []decoded {
	t.Helper()
	return byType(slices.DeleteFunc(page[decoded](t, server), func(d decoded) bool { return !slices.Contains(types, d.Type) }))
}

// subscribe has events of a backup sent to a sink that gives permission, and returns the signing secret.
func subscribe(t *testing.T, server, sink, mode string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"sink": sink, "protocol": "HTTP", "types": lifecycle, "protocolsettings": map[string]any{"contentMode": mode}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(server+"/api/v1/projects/acme/subscriptions", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var made struct {
		SigningSecret string
		Status        struct{ State string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&made); err != nil || resp.StatusCode != http.StatusCreated || made.Status.State != "ACTIVE" {
		t.Fatalf("%s %+v %v", resp.Status, made.Status, err)
	}
	return made.SigningSecret
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

// goReceiver is the Go SDK's client with the protocol http, which answers the handshake too.
type goReceiver struct {
	url      string
	verifier atomic.Pointer[standardwebhooks.Webhook]
	events   chan decoded
	verified chan sent
}

// sent is a request that was verified.
type sent struct {
	header http.Header
	body   []byte
}

func startGoReceiver(t *testing.T) *goReceiver {
	t.Helper()
	line, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &goReceiver{url: "http://" + line.Addr().String(), events: make(chan decoded, 100), verified: make(chan sent, 100)}
	p, err := cehttp.New(cehttp.WithListener(line), cehttp.WithMiddleware(r.verify),
		cehttp.WithDefaultOptionsHandlerFunc([]string{http.MethodPost}, cehttp.DefaultAllowedRate, []string{"*"}, false))
	if err != nil {
		t.Fatal(err)
	}
	client, err := cloudevents.NewClient(p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- client.StartReceiver(ctx, func(ev cloudevents.Event) error {
			d := decoded{ID: ev.ID(), Type: ev.Type(), Source: ev.Source()}
			if err := ev.DataAs(&d.Data); err != nil {
				return err
			}
			r.events <- d
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("receiver: %v", err)
		}
	})
	return r
}

// verify stands before the SDK.
func (r *goReceiver) verify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodOptions {
			next.ServeHTTP(w, req)
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if v := r.verifier.Load(); v == nil || v.Verify(body, req.Header) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.verified <- sent{req.Header.Clone(), body}
		req.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, req)
	})
}

func (r *goReceiver) verifyWith(t *testing.T, secret string) {
	t.Helper()
	v, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	r.verifier.Store(v)
}

func (r *goReceiver) take(t *testing.T, n int) (all []decoded) {
	t.Helper()
	deadline := time.After(patience)
	for range n {
		select {
		case d := <-r.events:
			all = append(all, d)
		case <-deadline:
			t.Fatalf("%d of %d events came", len(all), n)
		}
	}
	return all
}

// refusesChanged sends a request again as it was, which passes, and with another body, which does not.
func (r *goReceiver) refusesChanged(t *testing.T) {
	t.Helper()
	s := <-r.verified
	send := func(body []byte) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = maps.Clone(s.header)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if code := send(bytes.Replace(s.body, []byte("acme"), []byte("evil"), 1)); code != http.StatusUnauthorized || len(r.events) != 0 {
		t.Errorf("a changed body: %d, %d events", code, len(r.events))
	}
	if code := send(s.body); code/100 != 2 || len(r.events) != 1 {
		t.Errorf("the same body: %d, %d events", code, len(r.events))
	}
}

// nodeReceiver is receiver.mjs: the npm packages cloudevents and standardwebhooks.
type nodeReceiver struct {
	url   string
	in    io.Writer
	lines *bufio.Scanner
}

func startNodeReceiver(t *testing.T) *nodeReceiver {
	t.Helper()
	cmd := script(t, "receiver.mjs")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // it ends then
		if err := cmd.Wait(); err != nil {
			t.Errorf("receiver.mjs: %v", err)
		}
	})
	n := &nodeReceiver{in: in, lines: bufio.NewScanner(out)}
	n.lines.Buffer(nil, 1<<20)
	if !n.lines.Scan() {
		t.Fatal("receiver.mjs does not listen")
	}
	n.url = n.lines.Text()
	return n
}

func (n *nodeReceiver) verifyWith(t *testing.T, secrets map[string]string) {
	t.Helper()
	if err := json.NewEncoder(n.in).Encode(secrets); err != nil {
		t.Fatal(err)
	}
}

// take gives what came, by path. The script has refused each with a changed body.
func (n *nodeReceiver) take(t *testing.T, count int) map[string][]decoded {
	t.Helper()
	all := map[string][]decoded{}
	for range count {
		var got struct {
			Path, Wrong string
			Event       decoded
		}
		if !n.lines.Scan() {
			t.Fatalf("receiver.mjs ended after %v", all)
		}
		if err := json.Unmarshal(n.lines.Bytes(), &got); err != nil || got.Wrong != "" {
			t.Fatalf("%s: %v", n.lines.Text(), err)
		}
		all[got.Path] = append(all[got.Path], got.Event)
	}
	return all
}
