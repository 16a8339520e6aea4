package bustest

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/backupbus/backupbus/events/bus"
)

const patience = 30 * time.Second // for a loaded machine; nothing waits it out when all is well

// Server is a NATS server that lives as long as its test. It is safe for concurrent use.
type Server struct {
	Faults *Faults // on every connection of Connect

	options server.Options
	guard   *guard // nil: anybody may everything
	proxy   *proxy
	mu      sync.Mutex
	running *server.Server
	addr    string // of the running server

	outside sync.Mutex
	plain   *nats.Conn // of outsider
}

// Option changes the server's options before it starts.
type Option func(*server.Options)

// Run starts a server on a free port of the loopback interface.
func Run(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return run(t, nil, opts...)
}

func run(t testing.TB, g *guard, opts ...Option) *Server {
	t.Helper()
	s := &Server{guard: g, options: server.Options{
		ServerName: "bustest", Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), DisableJetStreamBanner: true, NoLog: true, NoSigs: true,
	}}
	for _, o := range opts {
		o(&s.options)
	}
	s.Faults = &Faults{}
	s.start(t)
	p, err := listen(s.address, s.Faults)
	if err != nil {
		t.Fatalf("bustest: %v", err)
	}
	s.proxy, s.Faults.proxy = p, p
	t.Cleanup(func() {
		p.close()
		s.Stop()
	})
	return s
}

func (s *Server) start(t testing.TB) {
	t.Helper()
	o := s.options
	s.guard.admit(t, &o)
	ns, err := server.NewServer(&o)
	if err != nil {
		t.Fatalf("bustest: %v", err)
	}
	s.guard.watch(ns)
	ns.Start()
	if !ns.ReadyForConnections(patience) {
		t.Fatal("bustest: server does not start")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.addr = ns, ns.Addr().String()
}

// Stop shuts the server down and waits; what it stored stays for Start. Stopping it twice does nothing.
func (s *Server) Stop() {
	s.mu.Lock()
	ns := s.running
	s.mu.Unlock()
	ns.Shutdown()
	ns.WaitForShutdown()
}

// Start starts a server that was stopped, with what it had stored.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.start(t)
}

// Restart is Stop and Start: clients lose their connection and come back by themselves.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop()
	s.Start(t)
}

// URL is where clients find the server; it stays the same over restarts.
func (s *Server) URL() string { return "nats://" + s.proxy.listener.Addr().String() }

// InProcessConn connects without a network and without faults, also after a restart: pass the server as
// bus.Config.InProcess.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	ns := s.running
	s.mu.Unlock()
	return ns.InProcessConn()
}

func (s *Server) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Connect makes a connection through the proxy, closed at the end of the test.
func (s *Server) Connect(t testing.TB) *bus.Bus {
	t.Helper()
	return s.ConnectWith(t, bus.Config{URL: s.URL()})
}

// ConnectWith is Connect with a configuration of the test's own. Without a logger nothing is logged.
func (s *Server) ConnectWith(t testing.TB, c bus.Config) *bus.Bus {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Client == "" {
		c.Client = t.Name()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := bus.Connect(ctx, c)
	if err != nil {
		t.Fatalf("bustest: %v", err)
	}
	t.Cleanup(b.Close)
	return b
}

// Provision makes the streams and durables of a topology; without one, those of the zero topology.
func Provision(t testing.TB, b *bus.Bus, topology ...bus.Topology) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if len(topology) == 0 {
		topology = []bus.Topology{{}}
	}
	for _, tp := range topology {
		if err := b.Provision(ctx, tp); err != nil {
			t.Fatalf("bustest: %v", err)
		}
	}
}
