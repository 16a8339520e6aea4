package engine

import (
	"net"
	"net/netip"
	"path"
	"strings"
	"sync"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Limits bound the attempts that run at once in this process, over all engines: two processes have each their
// own. A backup that finds its place taken stays ENQUEUED. The zero value and nil bound nothing. Safe for
// concurrent use.
type Limits struct {
	Total      int // whatever they are of, until the attempt has ended
	PerServer  int // by address, while it is read; all SQLite files of one executor are no server
	PerStorage int // that write to it, as the first or a further one, until the attempt has ended

	mu      sync.Mutex
	held    map[string]int
	servers map[string]func() // backup → gives its server's place back
}

// Admit implements executor.Limiter. A storage that cannot be named bounds nothing: Start says what is wrong.
func (x *Executor) Admit(j executor.Job) (leave func(), ok bool) {
	first, err := x.Storages.Name(j.Config.Storage)
	if err != nil {
		return func() {}, true
	}
	further, err := x.Storages.Others(first, j.Config.CopyTo)
	if err != nil {
		return func() {}, true
	}
	return x.Limits.admit(j.BackupID, server(j.Config.Address), append(further, first))
}

func (l *Limits) admit(backup, server string, storages []string) (leave func(), ok bool) {
	if l == nil {
		return func() {}, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var wanted []string
	for _, name := range storages {
		if key := "storage:" + name; l.PerStorage > 0 {
			if l.held[key] >= l.PerStorage {
				return nil, false
			}
			wanted = append(wanted, key)
		}
	}
	if l.Total > 0 {
		if l.held[everything] >= l.Total {
			return nil, false
		}
		wanted = append(wanted, everything)
	}
	done := func() {}
	if l.PerServer > 0 && server != "" {
		key := "server:" + server
		if l.held[key] >= l.PerServer {
			return nil, false
		}
		done = l.take(key)
		if l.servers == nil {
			l.servers = map[string]func(){}
		}
		l.servers[backup] = done
	}
	free := l.take(wanted...)
	return func() {
		done()
		free()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.servers, backup)
	}, true
}

// everything is the key of Total.
const everything = "all"

// take holds keys until the function it returns is called, once or more. l.mu is held.
func (l *Limits) take(keys ...string) (leave func()) {
	if l.held == nil {
		l.held = map[string]int{}
	}
	for _, key := range keys {
		l.held[key]++
	}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, key := range keys {
			if l.held[key]--; l.held[key] == 0 {
				delete(l.held, key)
			}
		}
	})
}

// leaveServer gives the place of a backup's server back: nothing is read from it any more.
func (l *Limits) leaveServer(backup string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	leave := l.servers[backup]
	delete(l.servers, backup)
	l.mu.Unlock()
	if leave != nil {
		leave()
	}
}

// server is the key of an address: what is written differently and is the same without asking anybody is one.
func server(address string) string {
	if address == "" {
		return ""
	}
	address = strings.TrimSpace(address)
	if strings.HasPrefix(address, "/") {
		return path.Clean(address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), ""
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	return net.JoinHostPort(host, port)
}
