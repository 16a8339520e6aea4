package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Server is a Part that serves HTTP/1.1 and HTTP/2 on one address, in cleartext or over TLS.
type Server struct {
	name   string
	ln     net.Listener
	http   *http.Server
	scheme string
}

var _ Part = (*Server)(nil)

// Listen takes the address at once, so that a taken port is an error at the start and Addr is known.
// Without authentication only loopback is allowed: any other address is refused.
func Listen(name, address string, h http.Handler) (*Server, error) {
	return ListenTLS(name, address, h, TLS{}, nil)
}

// ListenTLS is Listen; with files it serves TLS and nothing else. They are read now, and again when they change; l is
// told if they cannot be used then.
func ListenTLS(name, address string, h http.Handler, t TLS, l *slog.Logger) (*Server, error) {
	if err := loopbackOnly(address); err != nil {
		return nil, err
	}
	secured, err := t.config(l)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", name, err)
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", name, err)
	}
	p, scheme := new(http.Protocols), "http"
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	if secured != nil {
		p.SetUnencryptedHTTP2(false)
		p.SetHTTP2(true)
		scheme = "https"
	}
	return &Server{name: name, ln: ln, scheme: scheme, http: &http.Server{
		Handler: fromHere(h), Protocols: p, TLSConfig: secured,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}}, nil
}

// fromHere keeps web pages out: where nobody has to say who they are, any page that a browser on this machine shows could
// otherwise send requests (refused by Origin and Sec-Fetch-Site) or read answers under a name of its own that
// points here (refused by Host).
func fromHere(h http.Handler) http.Handler {
	same := http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loopbackOnly(withPort(r.Host)) != nil {
			http.Error(w, "this server answers to loopback names only: use 127.0.0.1, [::1] or localhost", http.StatusForbidden)
			return
		}
		same.ServeHTTP(w, r)
	})
}

func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err != nil {
		return net.JoinHostPort(strings.Trim(host, "[]"), "80")
	}
	return host
}

// Addr is the address that is served, with the port that the system chose if 0 was asked for.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// URL is the address with its scheme.
func (s *Server) URL() string { return s.scheme + "://" + s.Addr() }

// Name implements Part.
func (s *Server) Name() string { return s.name }

// Run implements Part.
func (s *Server) Run(ctx context.Context, ready func()) error {
	// Requests live until they are answered; a stream sees ctx end and says goodbye.
	s.http.BaseContext = func(net.Listener) context.Context { return WithStop(context.WithoutCancel(ctx), ctx.Done()) }
	failed := make(chan error, 1)
	go func() {
		if s.scheme == "https" {
			failed <- s.http.ServeTLS(s.ln, "", "")
			return
		}
		failed <- s.http.Serve(s.ln)
	}()
	ready()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.http.Shutdown(stop); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

type stopKey struct{}

// WithStop puts the signal that the process stops into a context.
func WithStop(ctx context.Context, stop <-chan struct{}) context.Context {
	return context.WithValue(ctx, stopKey{}, stop)
}

// Stopping is closed when the server that carries a request has to stop; long answers end then. It is nil
// elsewhere.
func Stopping(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(stopKey{}).(<-chan struct{})
	return c
}

// ErrNotLoopback is returned for an address that others could reach.
var ErrNotLoopback = errors.New("only a loopback address can be served")

// CheckListen tells whether Listen would accept an address.
func CheckListen(address string) error { return loopbackOnly(address) }

func loopbackOnly(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	if host == "localhost" {
		return nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		return fmt.Errorf("address %q: %w; use 127.0.0.1 or [::1]", address, ErrNotLoopback)
	}
	return nil
}
