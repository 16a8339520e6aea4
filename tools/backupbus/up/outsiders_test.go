package up

import (
	"log/slog"
	"net/url"
	"testing"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bus/outsidertest"
)

// The server that up opens for programs of others gives them the rights of events.md 4.6 and no more.
func TestNATS_OutsidersHaveTheirRightsOnly(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	topology := bus.Topology{Executors: []string{"sqlite"}}
	s, err := startNATS(t.TempDir(), "127.0.0.1:0", bus.OutsiderRights(topology), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNATS(s) })
	b, err := bus.Connect(t.Context(), bus.Config{InProcess: s, User: s.user, Password: s.password, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Provision(t.Context(), topology); err != nil {
		t.Fatal(err)
	}
	stop, err := b.ServeOutsiders()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	inside, err := url.Parse(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	inside.User = url.UserPassword(s.user, s.password)
	outsidertest.Run(t, outsidertest.Server{Outside: s.ClientURL(), Inside: inside.String()})
}

// Opening the server to others, and closing it again, leaves the log where it is.
func TestNATS_ListeningKeepsTheLog(t *testing.T) {
	t.Parallel()
	dir, log, topology := t.TempDir(), slog.New(slog.DiscardHandler), bus.Topology{}
	var epoch string
	for _, listen := range []string{"", "127.0.0.1:0", ""} {
		s, err := startNATS(dir, listen, bus.OutsiderRights(topology), log)
		if err != nil {
			t.Fatal(err)
		}
		b, err := bus.Connect(t.Context(), bus.Config{InProcess: s, User: s.user, Password: s.password, Log: log})
		if err == nil && epoch == "" {
			err = b.Provision(t.Context(), topology)
		}
		if err != nil {
			t.Fatal(err)
		}
		state, err := b.State(t.Context())
		if err != nil || epoch != "" && state.Epoch != epoch {
			t.Errorf("listening on %q: %+v instead of epoch %s, %v", listen, state, epoch, err)
		}
		epoch = state.Epoch
		b.Close()
		stopNATS(s)
	}
}

func TestNATS_OnlyLoopback(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"0.0.0.0:4222", ":4222", "[::]:4222", "192.0.2.1:4222", "4222"} {
		if _, err := load(&Options{Data: t.TempDir(), NATS: listen}); err == nil {
			t.Errorf("%s was accepted", listen)
		}
	}
	s, err := load(&Options{Data: t.TempDir(), NATS: "[::1]:4222"})
	if err != nil || s.NATS.Listen != "[::1]:4222" {
		t.Error(err)
	}
	if s, err = load(&Options{Data: t.TempDir()}); err != nil || s.NATS.Listen != "" {
		t.Errorf("without being asked: %q, %v", s.NATS.Listen, err)
	}
}
