package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// relay carries a child program's connections to the server. The child sees a private socket, so it needs
// to know neither address nor TLS, and the relay reads from the server's greeting which session is the
// child's: a query that hangs outlives its client on the server, and only by this number is it found.
type relay struct {
	to     endpoint
	marker string // of the sessions
	dir    string
	ln     net.Listener
	cancel context.CancelFunc
	wg     sync.WaitGroup
	hide   sync.Once

	mu  sync.Mutex
	ids []uint64
	err error // why the server could not be reached
}

// newRelay listens. With once the socket is gone from its folder as soon as the child has connected, so
// that a killed executor leaves no file. Close it.
func newRelay(ctx context.Context, to endpoint, marker string, once bool) (*relay, error) {
	dir, err := os.MkdirTemp("", "backupbus-") // 0700
	if err != nil {
		return nil, fmt.Errorf("folder for a socket: %w", err)
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("socket for a program: %w", err), os.RemoveAll(dir))
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &relay{to: to, marker: marker, dir: dir, ln: ln, cancel: cancel}
	r.wg.Go(func() { r.accept(ctx, once) })
	return r, nil
}

// options is the option file by which a child logs in through the relay.
func (r *relay) options() string {
	return clientOptions(filepath.Join(r.dir, "s"), r.to.user, r.to.secret.Reveal())
}

func clientOptions(socket, user, password string) string {
	// The way to the socket is private: what protects the rest of it is the relay's matter.
	return "[client]\nprotocol=socket\nloose-skip-ssl\nloose-ssl-mode=DISABLED\nloose-skip-ssl-verify-server-cert\nloose-get-server-public-key\n" +
		"socket=" + optionValue(socket) + "\nuser=" + optionValue(user) + "\npassword=" + optionValue(password) + "\n"
}

// optionValue quotes for an option file, where \ escapes and # begins a comment.
func optionValue(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// sessions are the numbers of all sessions that children had.
func (r *relay) sessions() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]uint64(nil), r.ids...)
}

// reason is why the server could not be reached through the relay, nil if it could.
func (r *relay) reason() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *relay) keep(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = why
}

// close ends every connection and waits for the end of the goroutines.
func (r *relay) close() {
	r.cancel()
	_ = r.ln.Close()
	r.wg.Wait()
	_ = os.RemoveAll(r.dir)
}

func (r *relay) accept(ctx context.Context, once bool) {
	for {
		child, err := r.ln.Accept()
		if err != nil {
			return
		}
		if once {
			r.hide.Do(func() { _ = os.RemoveAll(r.dir) })
		}
		r.wg.Go(func() {
			defer child.Close() // when the reason is kept: the child may end at once, and whoever waits for it asks
			if err := r.carry(ctx, child); err != nil && !errors.Is(err, errChild) {
				r.keep(err)
			}
		})
	}
}

// carry is one connection from its greeting to its end. Its error is that of what comes before the server's answer to
// the login.
func (r *relay) carry(ctx context.Context, child net.Conn) error {
	srv, err := r.to.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = srv.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = srv.Close(); _ = child.Close() })
	defer stop()

	greeting, err := readPacket(srv)
	if err != nil {
		return err
	}
	l := &login{lock: r.enter(greeting), bare: r.to.network != "unix" && r.to.tls == nil, keep: r.keep}
	greeting.hideQueryAttributes()
	offersTLS := greeting.hideTLS()
	if r.to.tls == nil {
		if err := greet(child, srv, greeting); err != nil {
			return err
		}
		join(child, srv, l.forward, forward)
		return nil
	}
	secured, err := upgrade(ctx, child, srv, greeting, offersTLS, r.to.tls)
	if err != nil || secured == nil {
		return err
	}
	l.shift = 1
	join(child, secured, l.forward, forwardCommands)
	return nil
}

// enter notes the session that a greeting opens, and says by which lock it is to be known.
func (r *relay) enter(greeting packet) (lock string) {
	id, ok := greeting.session()
	if !ok {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
	return lockOf(r.marker, len(r.ids)-1)
}

// join forwards in both directions until one of them ends, and then ends the other.
func join(child, srv net.Conn, down, up func(to, from net.Conn)) {
	var wg sync.WaitGroup
	end := func() { _ = child.Close(); _ = srv.Close() }
	wg.Go(func() { defer end(); up(srv, child) })
	down(child, srv)
	end()
	wg.Wait()
}

const relayBuffer = 256 << 10

// forward copies as it comes.
func forward(to, from net.Conn) {
	// Both hidden: the generic methods of connections would bring a buffer of 32 KiB.
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, relayBuffer))
}
