package host

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health knows which parts are ready, and asks what they stand on.
type Health struct {
	mu     sync.Mutex
	parts  map[string]bool
	down   bool
	checks map[string]func(context.Context) error
}

// NewHealth starts with nothing: not ready.
func NewHealth() *Health {
	return &Health{parts: map[string]bool{}, checks: map[string]func(context.Context) error{}}
}

// Check adds something that has to answer for the process to be ready.
func (h *Health) Check(name string, f func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = f
}

func (h *Health) starting(part string) { h.set(func() { h.parts[part] = false }) }
func (h *Health) ready(part string)    { h.set(func() { h.parts[part] = true }) }
func (h *Health) stopping()            { h.set(func() { h.down = true }) }

func (h *Health) set(f func()) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// problems lists what keeps the process from being ready.
func (h *Health) problems(ctx context.Context) map[string]string {
	h.mu.Lock()
	checks := maps.Clone(h.checks)
	out := map[string]string{}
	if h.down {
		out["process"] = "stopping"
	}
	if len(h.parts) == 0 {
		out["process"] = "starting"
	}
	for p, ok := range h.parts {
		if !ok {
			out[p] = "starting"
		}
	}
	h.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		if err := checks[name](ctx); err != nil {
			out[name] = err.Error()
		}
	}
	return out
}

// Ops serves /metrics, /livez (the process answers) and /readyz (503 with the reasons while it is not
// ready).
func Ops(h *Health, reg *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		problems := h.problems(r.Context())
		w.Header().Set("Content-Type", "application/json")
		if len(problems) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ready": len(problems) == 0, "problems": problems})
	})
	return mux
}

// NewMetrics is a registry with the figures of the Go runtime and the process.
func NewMetrics() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}
