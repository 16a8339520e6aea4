// Package up runs all of backupbus in one process: an embedded NATS with its files under the data folder,
// the view in memory (or in a Redis), and the four services through their New. It has no pipeline code of
// its own.
package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/notifier"
	executors "github.com/backupbus/backupbus/services/provider-executors"
	"github.com/backupbus/backupbus/services/provider-executors/remote"
	"github.com/backupbus/backupbus/services/requester"
	tracker "github.com/backupbus/backupbus/services/status-tracker"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// Options of the single process. Data is needed.
type Options struct {
	Data      string        // folder of everything that is kept: log, copies, scratch
	Settings  string        // file with settings, empty for none
	Listen    string        // address of all doors, default 127.0.0.1:8080
	NATS      string        // address for NATS clients of others, as 127.0.0.1:4222; empty: none
	RedisURL  string        // the view in a Redis instead of memory
	TakeOver  time.Duration // after this, work of a process that died is taken over; default 60 s
	LogWriter *os.File
	OnNATS    func(url string) // gets the address for NATS clients once it serves; may be nil
}

// settings are what the file says: the common part, and each service's.
type settings struct {
	common
	requester requester.Config
	executors executors.Config
	tracker   tracker.Config
	notifier  notifier.Config
}

// common is the part of the file that is no service's.
type common struct {
	host.Settings `yaml:",inline"`
	NATS          struct {
		Listen string `yaml:"listen"` // for NATS clients of others, default none; only loopback
	} `yaml:"nats"`
}

// Run serves until ctx ends. ready gets the address of the doors.
func Run(ctx context.Context, o Options, ready func(url string)) error {
	s, err := load(&o)
	if err != nil {
		return &UsageError{err}
	}
	log := host.NewLogger(o.LogWriter, s.Log.Level, s.Log.JSON)
	unlock, err := lock(o.Data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := ensureKey(o.Data, &s.notifier); err != nil {
		return err
	}
	topology := bus.Topology{AckWait: o.TakeOver, Executors: executors.Providers(), HistoryDays: s.Bus.HistoryDays}
	server, err := startNATS(filepath.Join(o.Data, "nats"), s.NATS.Listen, bus.OutsiderRights(topology), log)
	if err != nil {
		return err
	}
	defer stopNATS(server)
	b, err := bus.Connect(ctx, bus.Config{InProcess: server, User: server.user, Password: server.password,
		Client: "backupbus-up", Bus: s.Bus.Name, Log: log})
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Provision(ctx, topology); err != nil {
		return fmt.Errorf("provision the bus: %w", err)
	}
	store, closeStore, err := openStore(o, s)
	if err != nil {
		return err
	}
	defer closeStore()
	if s.NATS.Listen != "" {
		stop, err := b.ServeOutsiders()
		if err != nil {
			return err
		}
		defer stop()
		log.WarnContext(ctx, "no authentication: NATS clients that reach this loopback address may read and command every project", "address", server.Addr().String())
		if o.OnNATS != nil {
			o.OnNATS(server.ClientURL())
		}
	}
	return serve(ctx, o, s, b, store, log, ready)
}

func serve(ctx context.Context, o Options, s *settings, b *bus.Bus, store view.Store, log *slog.Logger, ready func(string)) error {
	state, err := b.State(ctx)
	if err != nil {
		return err
	}
	v := view.New(store, state.ViewShards)
	health, metrics := host.NewHealth(), host.NewMetrics()
	health.Check("bus", func(context.Context) error { return b.Healthy() })

	track, err := tracker.New(tracker.Deps{Bus: b, View: v, Log: log.With("service", "status-tracker"), Metrics: metrics, Now: time.Now}, s.tracker)
	if err != nil {
		return err
	}
	exec, err := executors.New(ctx, executors.Deps{Bus: b, Log: log.With("service", "provider-executors"), Now: time.Now,
		Openers: remote.Openers()}, s.executors)
	if err != nil {
		return err
	}
	tell, err := notifier.New(ctx, notifier.Deps{Bus: b, Log: log.With("service", "notifier"), Now: time.Now, Metrics: metrics, Access: s.Access}, s.notifier)
	if err != nil {
		return err
	}
	if tell.Addr() != "" {
		s.requester.Notifier = "http://" + tell.Addr()
	}
	doors, err := requester.New(requester.Deps{Bus: b, View: v, Log: log.With("service", "requester"), Now: time.Now,
		Version: host.Version(), Ops: host.Ops(health, metrics), Access: s.Access}, s.requester)
	if err != nil {
		return err
	}
	return host.Run(ctx, host.Config{Log: log, Health: health}, func() { ready(doors.URL()) }, track, exec, tell, doors)
}

// UsageError is a mistake in options or settings.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap gives the mistake.
func (e *UsageError) Unwrap() error { return e.Err }

func load(o *Options) (*settings, error) {
	if o.Data == "" {
		return nil, errors.New("--data: name the folder in which everything is kept")
	}
	data, err := filepath.Abs(o.Data)
	if err != nil {
		return nil, err
	}
	o.Data = data
	if o.LogWriter == nil {
		o.LogWriter = os.Stderr
	}
	s := &settings{}
	if o.Settings != "" {
		sections := map[string]any{"requester": &s.requester, "provider-executors": &s.executors, "status-tracker": &s.tracker, "notifier": &s.notifier}
		if err := host.DecodeSections(o.Settings, &s.common, sections); err != nil {
			return nil, err
		}
	}
	if o.Listen != "" {
		s.requester.Listen = o.Listen
	}
	if o.NATS != "" {
		s.NATS.Listen = o.NATS
	}
	if s.NATS.Listen != "" {
		if err := host.CheckListen(s.NATS.Listen); err != nil {
			return nil, fmt.Errorf("nats: listen: %w", err)
		}
		if len(s.Access) > 0 {
			return nil, errors.New("nats: listen: its clients bring no token, so whoever reaches it could read and command every project, whatever access says: " +
				"leave one of the two out, or run the services apart on a NATS server with the rights that `backupbus nats-config` prints")
		}
	}
	if len(s.requester.Providers) == 0 {
		s.requester.Providers = executors.Providers()
	}
	if len(s.executors.Storages) == 0 {
		s.executors.Storages = map[string]string{"default": (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(data, "backups"))}).String()}
	}
	if s.notifier.Listen == "" {
		s.notifier.Listen = "127.0.0.1:0" // the doors forward to it
	}
	if s.executors.Scratch == "" {
		s.executors.Scratch = filepath.Join(data, "scratch")
	}
	if o.RedisURL == "" {
		o.RedisURL = s.View.RedisURL
	}
	if err := errors.Join(s.Access.Validate(), s.Access.Check(requester.Permissions())); err != nil {
		return nil, err
	}
	for name, err := range map[string]error{"requester": s.requester.Validate(), "provider-executors": s.executors.Validate(), "notifier": s.notifier.Validate()} {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, nil
}

// ExecutorConfig is what the executors of Run get with these options, for who looks at the same storages and
// tools beside it.
func ExecutorConfig(o Options) (executors.Config, error) {
	s, err := load(&o)
	if err != nil {
		return executors.Config{}, &UsageError{err}
	}
	return s.executors, nil
}

func openStore(o Options, s *settings) (view.Store, func(), error) {
	if o.RedisURL == "" {
		return view.NewMemory(time.Now), func() {}, nil
	}
	c, err := host.OpenRedis(o.RedisURL, s.View.RedisPasswordFile)
	if err != nil {
		return nil, nil, &UsageError{err}
	}
	return view.NewRedis(c), func() { _ = c.Close() }, nil
}
