package engine

import (
	"sync"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Limits bound the attempts that run at once in this process, over all engines. A backup that finds its place
// taken stays ENQUEUED. The zero value and nil bound nothing. Safe for concurrent use.
type Limits struct {
	PerServer  int // by address; all SQLite files of one executor are no server
	PerStorage int // that write to it, as the first or a further one

	mu   sync.Mutex
	held map[string]int
}

// Admit implements executor.Limiter.
func (x *Executor) Admit(j executor.Job) (leave func(), ok bool) {
	var keys []string
	c, err := x.Storages.Of(j)
	if err != nil {
		return func() {}, true // Start says what is wrong
	}
	keys = append(keys, "storage:"+c.Storage())
	further, err := x.furtherOf(c, j)
	if err != nil {
		return func() {}, true
	}
	for _, name := range further {
		keys = append(keys, "storage:"+name)
	}
	return x.Limits.admit(j.Config.Address, keys)
}

func (l *Limits) admit(server string, storages []string) (leave func(), ok bool) {
	if l == nil {
		return func() {}, true
	}
	var taken []string
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.PerServer > 0 && server != "" {
		if l.held["server:"+server] >= l.PerServer {
			return nil, false
		}
		taken = append(taken, "server:"+server)
	}
	for _, s := range storages {
		if l.PerStorage <= 0 {
			break
		}
		if l.held[s] >= l.PerStorage {
			return nil, false
		}
		taken = append(taken, s)
	}
	if l.held == nil {
		l.held = map[string]int{}
	}
	for _, key := range taken {
		l.held[key]++
	}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, key := range taken {
			if l.held[key]--; l.held[key] == 0 {
				delete(l.held, key)
			}
		}
	}), true
}
