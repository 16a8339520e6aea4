package bustest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// proxy stands between clients and the server and lets the faults judge every message.
type proxy struct {
	listener net.Listener
	target   func() string
	faults   *Faults
	closed   chan struct{}
	running  sync.WaitGroup

	mu    sync.Mutex
	lines map[net.Conn]struct{}
}

func listen(target func() string, f *Faults) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, faults: f, closed: make(chan struct{}), lines: map[net.Conn]struct{}{}}
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) close() {
	close(p.closed)
	_ = p.listener.Close()
	p.cut()
	p.running.Wait()
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.lines {
		_ = c.Close()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	upstream, err := net.Dial("tcp", p.target())
	if err != nil {
		return // the server is down: to the client the line breaks
	}
	defer upstream.Close()
	if !p.keep(client, upstream) {
		return
	}
	var both sync.WaitGroup
	one := func(from, to net.Conn, toClient bool) {
		_ = (&lane{from: bufio.NewReaderSize(from, 64<<10), to: bufio.NewWriterSize(to, 64<<10), toClient: toClient, proxy: p}).run()
		_ = from.Close()
		_ = to.Close()
	}
	both.Go(func() { one(client, upstream, false) })
	both.Go(func() { one(upstream, client, true) })
	both.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lines, client)
	delete(p.lines, upstream)
}

// keep remembers a line so that it can be cut; false once the proxy is closed.
func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		return false
	default:
	}
	for _, c := range conns {
		p.lines[c] = struct{}{}
	}
	return true
}

// lane carries one direction of a line.
type lane struct {
	from     *bufio.Reader
	toClient bool
	proxy    *proxy

	mu   sync.Mutex
	to   *bufio.Writer
	held []byte // a message that waits for the next one
}

func (l *lane) run() error {
	for {
		raw, f, err := l.read()
		if err != nil {
			return err
		}
		if f == nil {
			if err := l.write(raw, false); err != nil {
				return err
			}
			continue
		}
		if err := l.apply(raw, *f); err != nil {
			return err
		}
	}
}

// read takes one protocol unit; f is nil for what is no message.
func (l *lane) read() (raw []byte, f *Frame, err error) {
	line, err := l.from.ReadBytes('\n')
	if err != nil {
		return nil, nil, err
	}
	t := strings.Fields(string(line))
	if len(t) < 3 {
		return line, nil, nil
	}
	switch strings.ToUpper(t[0]) {
	case "PUB", "HPUB", "MSG", "HMSG":
	default:
		return line, nil, nil
	}
	size, err := strconv.Atoi(t[len(t)-1])
	if err != nil {
		return nil, nil, fmt.Errorf("frame %q: %w", line, err)
	}
	raw = append(make([]byte, 0, len(line)+size+2), line...)
	raw = raw[:len(line)+size+2]
	if _, err := io.ReadFull(l.from, raw[len(line):]); err != nil {
		return nil, nil, err
	}
	return raw, &Frame{ToClient: l.toClient, Subject: t[1], Data: raw[len(line) : len(line)+size]}, nil
}

func (l *lane) apply(raw []byte, f Frame) error {
	do, delay := l.proxy.faults.judge(f)
	switch do {
	case drop:
		return l.write(nil, true)
	case double:
		return l.write(append(append([]byte(nil), raw...), raw...), true)
	case hold:
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-l.proxy.closed:
		}
	case swap:
		l.hold(raw)
		return nil
	}
	return l.write(raw, true)
}

// hold keeps a message back until the next one has passed, or a while.
func (l *lane) hold(raw []byte) {
	l.mu.Lock()
	l.held = append(l.held, raw...)
	l.mu.Unlock()
	time.AfterFunc(200*time.Millisecond, func() { _ = l.write(nil, true) })
}

// write sends b and, behind a message, what was held back; the buffer goes out when nothing follows.
func (l *lane) write(b []byte, message bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.to.Write(b); err != nil {
		return err
	}
	if message && len(l.held) > 0 {
		if _, err := l.to.Write(l.held); err != nil {
			return err
		}
		l.held = nil
	}
	// Peeking at from is safe for its own goroutine only; a timer's write always flushes.
	if b != nil && l.from.Buffered() > 0 {
		return nil
	}
	return l.to.Flush()
}
