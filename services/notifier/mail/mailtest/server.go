// Package mailtest is a mail server for tests.
package mailtest

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// User and Password are what the server knows.
const (
	User     = "backupbus"
	Password = "canary-password-0123"
)

// Message is one as the server has taken it.
type Message struct {
	From, User string
	To         []string
	TLS        bool
	Text       string
}

// Server is a real SMTP server that answers what it is told.
type Server struct {
	Address string
	Roots   *x509.CertPool

	mu   sync.Mutex
	got  []Message
	more chan struct{} // closed when there is another one
	rcpt error
	data error
}

// Option changes the server.
type Option func(*smtp.Server)

// Plain offers no STARTTLS.
func Plain(s *smtp.Server) { s.TLSConfig = nil }

// Run serves until the test ends; implicit: TLS from the first byte, else STARTTLS.
func Run(t testing.TB, implicit bool, options ...Option) *Server {
	t.Helper()
	pair := httptest.NewTLSServer(nil) // for its certificate, of 127.0.0.1
	t.Cleanup(pair.Close)
	s := &Server{Roots: x509.NewCertPool(), more: make(chan struct{})}
	s.Roots.AddCert(pair.Certificate())
	srv := smtp.NewServer(s)
	srv.TLSConfig = &tls.Config{Certificates: pair.TLS.Certificates}
	for _, o := range options {
		o(srv)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address = ln.Addr().String()
	if implicit {
		ln = tls.NewListener(ln, srv.TLSConfig)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return s
}

// NewSession implements smtp.Backend.
func (s *Server) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secured := c.TLSConnectionState()
	return &session{Server: s, Message: Message{TLS: secured}}, nil
}

// Refuse answers every recipient, and every message, with an error; nil: with 250.
func (s *Server) Refuse(rcpt, data error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rcpt, s.data = rcpt, data
}

func (s *Server) refuses() (rcpt, data error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rcpt, s.data
}

// Messages are those that were taken.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.got...)
}

type session struct {
	*Server
	Message
}

func (s *session) Reset()        { s.From, s.To = "", nil }
func (s *session) Logout() error { return nil }

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, pass string) error {
		if user != User || pass != Password {
			return &smtp.SMTPError{Code: 535, Message: "no such user"}
		}
		s.User = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.From = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err, _ := s.refuses(); err != nil {
		return err
	}
	s.To = append(s.To, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if _, err := s.refuses(); err != nil {
		return err
	}
	s.Text = string(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, s.Message)
	close(s.more)
	s.more = make(chan struct{})
	return nil
}

// Await returns the messages when there are n of them.
func (s *Server) Await(t testing.TB, n int) []Message {
	t.Helper()
	late := time.After(patience)
	for {
		s.mu.Lock()
		got, more := append([]Message(nil), s.got...), s.more
		s.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("%d messages, not %d", len(got), n)
		}
	}
}

const patience = 30 * time.Second
