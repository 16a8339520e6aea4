package host

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/access"
	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// Host is what a service's main gets to build its part from.
type Host struct {
	settings Settings
	log      *slog.Logger
	bus      *bus.Bus
	redis    redis.UniversalClient
	shards   int
	health   *Health
	metrics  *prometheus.Registry
}

// Bus is the connection to NATS.
func (h *Host) Bus() *bus.Bus { return h.bus }

// View is the view in Redis.
func (h *Host) View() *view.View { return view.New(view.NewRedis(h.redis), h.shards) }

// Log is the process's logger.
func (h *Host) Log() *slog.Logger { return h.log }

// Access is who may do what.
func (h *Host) Access() access.Grants { return h.settings.Access }

// Metrics is where a part registers its figures.
func (h *Host) Metrics() *prometheus.Registry { return h.metrics }

// Ops is the handler of /metrics, /livez and /readyz.
func (h *Host) Ops() http.Handler { return Ops(h.health, h.metrics) }

// Main runs one service as a process of its own, against a NATS and a Redis that are there, and ends the
// process: 0 after a signal, 1 after a fault, 2 for wrong settings. The settings come from --config or
// BACKUPBUS_CONFIG: those of Settings, and the service's under its own name.
func Main[C any](service string, config C, build func(ctx context.Context, h *Host, c C) (Part, error)) {
	os.Exit(run(service, config, build))
}

func run[C any](service string, config C, build func(ctx context.Context, h *Host, c C) (Part, error)) int {
	file := flag.String("config", os.Getenv("BACKUPBUS_CONFIG"), "file with settings (YAML)")
	flag.Parse()
	settings, err := load(*file, service, &config)
	if err == nil {
		err = settings.Access.Validate()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, service+":", err)
		return 2
	}
	if v, ok := any(config).(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			fmt.Fprintln(os.Stderr, service+":", err)
			return 2
		}
	}
	log := NewLogger(os.Stderr, settings.Log.Level, settings.Log.JSON).With("service", service)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	h := &Host{settings: settings, log: log, health: NewHealth(), metrics: NewMetrics()}
	if err := h.serve(ctx, service, func() (Part, error) { return build(ctx, h, config) }); err != nil {
		log.ErrorContext(ctx, "service ended", "error", err.Error())
		return 1
	}
	return 0
}

func (h *Host) serve(ctx context.Context, service string, build func() (Part, error)) error {
	var err error
	if h.bus, err = bus.Connect(ctx, bus.Config{URL: h.settings.Bus.URL, Client: service, Bus: h.settings.Bus.Name,
		CredentialsFile: credentialsOf(service, h.settings.Bus.CredentialsFile), InboxPrefix: bus.InboxPrefix(service), Log: h.log}); err != nil {
		return err
	}
	defer h.bus.Close()
	state, err := h.bus.State(ctx)
	if err != nil {
		return fmt.Errorf("read the log (is the bus provisioned? `backupbus provision` does it): %w", err)
	}
	h.shards = state.ViewShards
	if h.redis, err = OpenRedis(h.settings.View.RedisURL, h.settings.View.RedisPasswordFile); err != nil {
		return err
	}
	defer func() { _ = h.redis.Close() }()
	h.health.Check("bus", func(context.Context) error { return h.bus.Healthy() })
	part, err := build()
	if err != nil {
		return err
	}
	if h.settings.OpsListen == "" {
		h.settings.OpsListen = "127.0.0.1:0"
	}
	ops, err := Listen("ops", h.settings.OpsListen, h.Ops())
	if err != nil {
		return err
	}
	h.log.InfoContext(ctx, "service starts", "ops", ops.Addr())
	return Run(ctx, Config{Log: h.log, Health: h.health}, func() { h.log.InfoContext(ctx, "service ready") }, ops, part)
}

// credentialsOf is the service's own key where the settings name the folder of all, so that one file serves all services.
func credentialsOf(service, path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return bus.KeyFile(path, service)
	}
	return path
}

// OpenRedis opens a client for redis://, rediss:// or unix:// URLs; several hosts separated by commas are
// a Cluster. The password comes from a file, never from the URL.
func OpenRedis(url, passwordFile string) (redis.UniversalClient, error) {
	if url == "" {
		url = "redis://127.0.0.1:6379"
	}
	var hosts []string
	scheme, rest, ok := strings.Cut(url, "://")
	if ok && strings.Contains(rest, ",") {
		hosts = strings.Split(strings.SplitN(rest, "/", 2)[0], ",")
		url = scheme + "://" + hosts[0]
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("view.redisURL is not a URL as redis://127.0.0.1:6379, rediss://host:6379 or unix:///path") // err quotes it
	}
	if o.Password != "" {
		return nil, fmt.Errorf("view.redisURL holds a password: put it into a file and name that in view.redisPasswordFile")
	}
	if passwordFile != "" {
		b, err := os.ReadFile(passwordFile)
		if err != nil {
			return nil, fmt.Errorf("view.redisPasswordFile: %w", err)
		}
		o.Password = strings.TrimRight(string(b), "\r\n")
	}
	if len(hosts) > 1 {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: hosts, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig}), nil
	}
	return redis.NewClient(o), nil
}

// load reads one settings file: the keys of Settings, and each service's own under its name. Only this
// service's part is looked into; the others' may stand in the same file.
func load(path, service string, config any) (Settings, error) {
	var s Settings
	if path == "" {
		return s, nil
	}
	return s, DecodeSections(path, &s, map[string]any{service: config})
}
