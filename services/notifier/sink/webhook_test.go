package sink

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/services/notifier/delivery"
)

func answer(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
	}
}

func TestPost_RequestIsThatOfTheContract(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	a := post(t, webhook(t, local(t, s.URL), s.URL+"/in%2Fside?token=x&y"), soon)
	if diff := cmp.Diff(delivery.Answer{Status: 202, RetryAfter: "7"}, a); diff != "" {
		t.Fatal(diff)
	}
	want := http.Header{
		"Content-Type": {"application/cloudevents+json; charset=utf-8"}, "Content-Length": {"10"},
		"Webhook-Id": {"evt-1"}, "Webhook-Timestamp": {"1700000000"}, "Webhook-Signature": {"v1,abc"},
		"Backupbus-Subscription": {"su_x"}, "Backupbus-Delivery": {"dl_x"}, "Backupbus-Attempt": {"3"},
		"Webhook-Request-Origin": {"bus.test"}, "User-Agent": {"backupbus-notifier/1.2.3"},
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Error(diff)
	}
	if got.Method != "POST" || got.RequestURI != "/in%2Fside?token=x&y" || string(body) != `{"test":1}` || got.Host != s.Listener.Addr().String() {
		t.Errorf("%s %s to %s: %s", got.Method, got.RequestURI, got.Host, body)
	}
}

// W7, and no cookie and no challenge is answered.
func TestPost_FollowsNothing(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	var requests atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
			t.Error("sends a cookie or a credential")
		}
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Location", other.URL)
		w.Header().Set("WWW-Authenticate", "Basic")
		w.WriteHeader([]int{302, 307, 401}[requests.Add(1)-1])
	}))
	defer s.Close()
	w := webhook(t, local(t, s.URL), s.URL)
	for _, want := range []int{302, 307, 401} {
		if a := post(t, w, soon); a.Status != want {
			t.Errorf("want %d, got %+v", want, a)
		}
	}
	if elsewhere.Load() != 0 || requests.Load() != 3 {
		t.Errorf("%d requests elsewhere, %d here", elsewhere.Load(), requests.Load())
	}
}

func TestPost_NoProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	if w := webhook(t, Rules{}, "https://hooks.example.com"); w.transport.Proxy != nil {
		t.Error("a proxy may stand between")
	}
}

func TestPost_Failures(t *testing.T) {
	t.Parallel()
	t.Run("receiver closes the connection", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = c.Close()
			}
		}))
		defer s.Close()
		wantFailure(t, post(t, webhook(t, local(t, s.URL), s.URL), soon), delivery.Reset)
	})
	t.Run("receiver resets the connection", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			}
		}))
		defer s.Close()
		wantFailure(t, post(t, webhook(t, local(t, s.URL), s.URL), soon), delivery.Reset)
	})
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(answer(200))
		s.Close()
		wantFailure(t, post(t, webhook(t, local(t, s.URL), s.URL), soon), delivery.ConnectFailure)
	})
	t.Run("no answer in time", func(t *testing.T) {
		t.Parallel()
		end := make(chan struct{})
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
		defer s.Close()
		defer close(end)
		wantFailure(t, post(t, webhook(t, local(t, s.URL), s.URL), 100*time.Millisecond), delivery.Timeout)
	})
	t.Run("certificate of nobody", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewUnstartedServer(answer(200))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		defer s.Close()
		wantFailure(t, post(t, webhook(t, local(t, s.URL), s.URL), soon), delivery.TLSFailure)
	})
	t.Run("certificate of another name", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewUnstartedServer(answer(200))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		defer s.Close()
		wantFailure(t, post(t, webhook(t, trusting(t, s), "https://other.test:"+port(s)), soon), delivery.TLSFailure)
	})
	t.Run("old TLS", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewUnstartedServer(answer(200))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		s.StartTLS()
		defer s.Close()
		wantFailure(t, post(t, webhook(t, trusting(t, s), "https://example.com:"+port(s)), soon), delivery.TLSFailure)
	})
	t.Run("https to a plain server", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(answer(200))
		defer s.Close()
		wantFailure(t, post(t, webhook(t, local(t, s.URL), "https://127.0.0.1:"+port(s)), soon), delivery.TLSFailure)
	})
	t.Run("name is not known", func(t *testing.T) {
		t.Parallel()
		r := Rules{Resolver: resolver(func(host string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		})}
		wantFailure(t, post(t, webhook(t, r, "https://hooks.test/"), soon), delivery.DNSFailure)
	})
	t.Run("name server does not answer", func(t *testing.T) {
		t.Parallel()
		r := Rules{Resolver: resolver(func(host string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
		})}
		wantFailure(t, post(t, webhook(t, r, "https://hooks.test/"), soon), delivery.Timeout)
	})
}

func TestPost_TLSVerifiesTheNameOfTheURL(t *testing.T) {
	t.Parallel()
	var sni, host string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sni, host = r.TLS.ServerName, r.Host }))
	s.StartTLS()
	defer s.Close()
	// example.com is a name of httptest's certificate.
	if a := post(t, webhook(t, trusting(t, s), "https://example.com:"+port(s)), soon); a.Status != 200 {
		t.Fatalf("got %+v", a)
	}
	if sni != "example.com" || host != "example.com:"+port(s) {
		t.Errorf("SNI %q, Host %q", sni, host)
	}
}

// W9: the name is judged again on every connection, and one forbidden address of several refuses it.
func TestPost_AddressIsJudgedWhenItIsDialled(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(answer(200))
	defer s.Close()
	s.Config.SetKeepAlivesEnabled(false) // every request is a connection
	var now []netip.Addr
	r := local(t, s.URL)
	r.Resolver = resolver(func(string) ([]netip.Addr, error) { return now, nil })
	w := webhook(t, r, "http://hooks.test:"+port(s))
	for _, c := range []struct {
		addrs []netip.Addr
		want  delivery.Outcome
	}{
		{addrs("127.0.0.1"), ""},
		{addrs("10.0.0.1"), delivery.BlockedAddress},
		{addrs("127.0.0.1", "10.0.0.1"), delivery.BlockedAddress},
		{addrs("8.8.8.8"), delivery.BlockedAddress}, // http
		{addrs("::ffff:127.0.0.1"), ""},             // how LookupNetIP may write IPv4
		{addrs("::ffff:169.254.169.254"), delivery.BlockedAddress},
		{nil, delivery.DNSFailure},
		{addrs("127.0.0.1"), ""},
	} {
		now = c.addrs
		a := post(t, w, soon)
		if a.Failure != c.want || c.want == "" && a.Status != 200 {
			t.Errorf("%v: want %q, got %+v", c.addrs, c.want, a)
		}
		if c.want == delivery.BlockedAddress && !errors.Is(a.Err, errBlocked) {
			t.Errorf("%v: the log says %v", c.addrs, a.Err)
		}
	}
}

func TestPost_TriesTheNextAddress(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(answer(200)) // on 127.0.0.1 only
	defer s.Close()
	r := local(t, s.URL)
	r.Resolver = resolver(func(string) ([]netip.Addr, error) { return addrs("::1", "127.0.0.1"), nil })
	if a := post(t, webhook(t, r, "http://hooks.test:"+port(s)), soon); a.Status != 200 {
		t.Errorf("got %+v", a)
	}
}

func TestPost_ConnectionsServeOneSubscriptionOnly(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	s := httptest.NewUnstartedServer(answer(200))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	r := local(t, s.URL)
	for range 2 {
		w := webhook(t, r, s.URL)
		for range 3 {
			if a := post(t, w, soon); a.Status != 200 {
				t.Fatalf("got %+v", a)
			}
		}
	}
	if n := opened.Load(); n != 2 {
		t.Errorf("two subscriptions, three requests each: %d connections", n)
	}
}

func port(s *httptest.Server) string {
	_, p, _ := net.SplitHostPort(s.Listener.Addr().String())
	return p
}

// A sink that echoes what it was sent shows none of our credentials to those who read its answer.
func TestPost_EchoedCredentialsAreTakenOut(t *testing.T) {
	t.Parallel()
	u, err := url.Parse("https://hooks.example.com/in?token=canary%2Bquery&x=1")
	if err != nil {
		t.Fatal(err)
	}
	w := &Webhook{Sink: Sink{url: u}, options: Options{Headers: map[string]string{"Authorization": "Bearer canary-header"}}}
	got := w.hide("Authorization: Bearer canary-header; canary-header; token=canary%2Bquery canary+query; x=1 is fine")
	if strings.Contains(got, "canary") || !strings.Contains(got, "is fine") {
		t.Errorf("got %q", got)
	}
}
