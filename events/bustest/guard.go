package bustest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/backupbus/backupbus/events/bus"
)

// guard is what makes a server hold the rights of events.md 4.6.
type guard struct {
	config string // file

	mu      sync.Mutex
	refused []string
}

// Guarded runs a server with the configuration that bus.WriteServerConfig writes. Services come by ConnectAs; who brings
// no key is the test itself, among the services and free to do anything.
func Guarded(t testing.TB, topology bus.Topology, outsiders ...bus.Outsider) *Server {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "rights.conf"))
	if err == nil {
		err = bus.WriteServerConfig(f, topology, outsiders, func(user string) (string, error) { return bus.UserKey(dir, user) })
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatalf("bustest: %v", err)
	}
	return GuardedBy(t, f.Name())
}

// GuardedBy is Guarded with a configuration that is there, beside the keys of its users.
func GuardedBy(t testing.TB, config string) *Server {
	t.Helper()
	return run(t, &guard{config: config})
}

// Key is the file with the seed of a user of a guarded server.
func (s *Server) Key(user string) string { return bus.KeyFile(filepath.Dir(s.guard.config), user) }

// ConnectAs is Connect as a user of a guarded server.
func (s *Server) ConnectAs(t testing.TB, user string) *bus.Bus {
	t.Helper()
	return s.ConnectWith(t, bus.Config{URL: s.URL(), Client: user, CredentialsFile: s.Key(user), InboxPrefix: bus.InboxPrefix(user)})
}

// Refused is what a guarded server has refused so far, in its own words.
func (s *Server) Refused() []string {
	s.guard.mu.Lock()
	defer s.guard.mu.Unlock()
	return slices.Clone(s.guard.refused)
}

// admit puts the configuration's accounts into the options. It is read at each start, as accounts are a server's own.
func (g *guard) admit(t testing.TB, o *server.Options) {
	t.Helper()
	if g == nil {
		return
	}
	read, err := server.ProcessConfigFile(g.config)
	if err != nil {
		t.Fatalf("bustest: %v", err)
	}
	o.Accounts, o.Nkeys = read.Accounts, read.Nkeys
	i := slices.IndexFunc(o.Accounts, func(a *server.Account) bool { return a.Name == bus.ServicesAccount })
	if i < 0 {
		t.Fatalf("bustest: %s has no account %s", g.config, bus.ServicesAccount)
	}
	o.Users, o.NoAuthUser = []*server.User{{Username: "test", Account: o.Accounts[i]}}, "test"
}

func (g *guard) watch(s *server.Server) {
	if g != nil {
		s.SetLoggerV2(refusals{g}, false, false, false)
	}
}

// refusals listens to the server's log.
type refusals struct{ *guard }

// Errorf implements server.Logger.
func (r refusals) Errorf(format string, v ...any) {
	if text := fmt.Sprintf(format, v...); strings.Contains(text, "Violation") {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.refused = append(r.refused, text)
	}
}

// Noticef implements server.Logger.
func (refusals) Noticef(string, ...any) {}

// Warnf implements server.Logger.
func (refusals) Warnf(string, ...any) {}

// Fatalf implements server.Logger.
func (refusals) Fatalf(string, ...any) {}

// Debugf implements server.Logger.
func (refusals) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (refusals) Tracef(string, ...any) {}
