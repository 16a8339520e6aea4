// Package executors does the backups: the service around the runners, one per provider.
package executors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/credential"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/mysql"
	"github.com/backupbus/backupbus/services/provider-executors/postgres"
	"github.com/backupbus/backupbus/services/provider-executors/sqlite"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// Deps are what the service stands on. All are needed but Providers and Openers.
type Deps struct {
	Bus       *bus.Bus
	Log       *slog.Logger
	Now       func() time.Time
	Providers []Provider                // nil: those of this repository
	Openers   map[string]archive.Opener // storages of other schemes than file; package remote has those of the clouds
}

// Provider is one entry of the list of what can be backed up.
type Provider struct {
	Name         string
	Capabilities executor.Capabilities
	Open         func(ctx context.Context, s Shared) (Opened, error)
}

// Shared is what the providers of one process have in common. It stays open until they are closed.
type Shared struct {
	Engine      engine.Deps
	Credentials credential.Resolver
	Programs    tool.Programs
	Config      Config
}

// Opened is an executor and how it is closed.
type Opened interface {
	executor.Executor
	io.Closer
}

// providers is the list. A provider of one's own is an entry here and a package beside sqlite.
var providers = []Provider{
	self(sqlite.Provider, func(s Shared) (engine.Engine, error) {
		return sqlite.New(sqlite.Deps{Now: s.Engine.Now}, sqlite.Config{Roots: s.Config.SQLiteRoots})
	}),
	self(mysql.Provider, func(s Shared) (engine.Engine, error) {
		return mysql.New(mysql.Deps{Now: s.Engine.Now, Credentials: s.Credentials, Programs: s.Programs}, mysql.Config{DataRoots: s.Config.DataRoots})
	}),
	self(postgres.Provider, func(s Shared) (engine.Engine, error) {
		return postgres.New(postgres.Deps{Now: s.Engine.Now, Credentials: s.Credentials, Programs: s.Programs}, postgres.Config{
			ScratchAccount: s.Config.ScratchAccount, DataRoots: s.Config.DataRoots, LockWait: s.Config.LockWait,
		})
	}),
}

// self is the entry of a self-hosted engine.
func self(name string, open func(Shared) (engine.Engine, error)) Provider {
	return Provider{Name: name, Capabilities: engine.Capabilities(), Open: func(_ context.Context, s Shared) (Opened, error) {
		e, err := open(s)
		if err != nil {
			return nil, err
		}
		return engine.New(name, e, s.Engine)
	}}
}

// Providers are the names that instances may have.
func Providers() []string {
	var names []string
	for _, p := range providers {
		names = append(names, p.Name)
	}
	return names
}

// New opens the storages and the executors. The part is ready when it takes work.
func New(ctx context.Context, d Deps, c Config) (host.Part, error) {
	if d.Bus == nil || d.Log == nil || d.Now == nil {
		return nil, errors.New("provider-executors: a dependency is missing")
	}
	if d.Providers == nil {
		d.Providers = providers
	}
	s := &service{Deps: d, config: c}
	shared, err := openShared(ctx, d.Openers, d.Now, d.Log, c)
	if err != nil {
		return nil, fmt.Errorf("provider-executors: %w", err)
	}
	s.storages = shared.Engine.Storages
	for _, p := range d.Providers {
		own := shared
		own.Engine.Log = d.Log.With("provider", p.Name)
		e, err := p.Open(ctx, own)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open executor %s: %w", p.Name, err), s.close())
		}
		s.executors = append(s.executors, e)
		s.runners = append(s.runners, executor.NewRunner(e, p.Capabilities, d.Bus, d.Now, own.Engine.Log, c.runner()))
	}
	return s, nil
}

// openShared opens what the settings name. The caller closes the storages.
func openShared(ctx context.Context, openers map[string]archive.Opener, now func() time.Time, log *slog.Logger, c Config) (Shared, error) {
	if err := c.Validate(); err != nil {
		return Shared{}, err
	}
	programs := tool.Programs(c.Tools)
	scratch, err := engine.OpenScratch(c.Scratch)
	if err != nil {
		return Shared{}, err
	}
	compression, err := c.compression(programs)
	if err != nil {
		return Shared{}, err
	}
	storages, err := archive.Open(ctx, archive.Options{
		URLs: c.Storages, Openers: openers, Compression: compression, Identities: c.Identities, BytesPerSecond: c.BytesPerSecond,
	})
	if err != nil {
		return Shared{}, err
	}
	return Shared{
		Engine: engine.Deps{Now: now, Log: log, Storages: storages, Scratch: scratch, Hooks: c.Hooks, MinSizeRatio: c.MinSizeRatio,
			Limits:  &engine.Limits{Total: c.Limits.Total, PerServer: c.Limits.PerServer, PerStorage: c.Limits.PerStorage},
			Copying: engine.Copying{StallAfter: c.CopyStallAfter, Deadline: c.CopyDeadline}},
		Credentials: credential.Resolver{Roots: c.Credentials.Roots, Variables: c.Credentials.Variables},
		Programs:    programs, Config: c,
	}, nil
}

type service struct {
	Deps
	config    Config
	storages  *archive.Storages
	executors []Opened
	runners   []*executor.Runner
}

// Name implements host.Part.
func (s *service) Name() string { return "provider-executors" }

// Run implements host.Part. At the end the triggers in work are handed back first, then the tools are
// stopped and what they had written is removed.
func (s *service) Run(ctx context.Context, ready func()) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	router, err := bus.NewRouter(s.Bus, s.Log)
	if err != nil {
		return err
	}
	for i, p := range s.Providers {
		stop, err := s.Bus.Listen(events.CancelFilter(p.Name), func(ev events.Event) { s.runners[i].HearCancel(ev.PartitionKey) })
		if err != nil {
			return fmt.Errorf("listen for cancels: %w", err)
		}
		defer stop()
		quiet, err := s.Bus.AnswerWorking(s.runners[i].ExecutorID(), s.runners[i].InWork)
		if err != nil {
			return err
		}
		defer quiet()
		// On demand: a trigger that waited here unmarked could be given to another executor too.
		sub := s.Bus.Subscriber(bus.SubscriberConfig{Window: s.config.concurrency(), OnDemand: true, Grace: stopIn})
		router.AddConsumerHandler("exec-"+p.Name, bus.ExecutorDurable(p.Name), sub, handler(s.runners[i]))
	}
	go func() {
		select {
		case <-router.Running():
			ready()
		case <-ctx.Done():
		}
	}()
	return router.Run(ctx)
}

// stopIn is how long work has to stop before its trigger is handed back all the same.
const stopIn = 15 * time.Second

func (s *service) close() error {
	var err error
	for _, e := range s.executors {
		err = errors.Join(err, e.Close())
	}
	return errors.Join(err, s.storages.Close())
}

// maxFaults is how often a trigger is tried that meets nothing but faults of our own.
const maxFaults = 10

// handler puts a runner behind Watermill's router.
func handler(r *executor.Runner) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		trigger, _, err := bus.EventOf(msg)
		if err != nil {
			return err
		}
		err = r.Handle(msg.Context(), trigger)
		if err != nil && bus.MetaOf(msg).Deliveries >= maxFaults && executor.Hopeless(err) {
			return bus.Refuse(bus.MaxDeliveries, err)
		}
		var later executor.Later
		if errors.As(err, &later) {
			return bus.RetryAfter(err, later.After)
		}
		return err
	}
}
