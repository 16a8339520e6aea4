package mail

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Scheme is that of a sink that is a mailbox.
const Scheme = "mailto:"

const (
	maxSink    = 2048
	maxAddress = 254 // RFC 5321 4.5.3.1.3
)

// How the connection is protected.
const (
	STARTTLS = "starttls" // the default: the server has to offer it
	TLS      = "tls"      // from the first byte, as on port 465
	None     = "none"     // to a server on loopback only
)

// Config is the mail server and who may be written to.
type Config struct {
	// Address is host:port of the server; empty: no e-mail is sent.
	Address string `yaml:"address"`
	// From is the sender's address.
	From string `yaml:"from"`
	// Recipients are who may be written to: addresses, or @example.com for all of a domain.
	Recipients []string `yaml:"recipients"`
	// Security is starttls (default), tls, or none for a server on loopback.
	Security string `yaml:"security"`
	// User and PasswordRef are what to log in with: env:NAME or file:/path (mode 0600). Without them nobody logs in.
	User        string `yaml:"user"`
	PasswordRef string `yaml:"passwordRef"`
}

// Problems lists what is wrong with everything but the password.
func (c Config) Problems() []error {
	if c.Address == "" {
		if c.From != "" || len(c.Recipients) > 0 || c.User != "" || c.PasswordRef != "" || c.Security != "" {
			return []error{errors.New("address: is missing: write host:port of the mail server")}
		}
		return nil
	}
	var out []error
	add := func(field string, err error) {
		if err != nil {
			out = append(out, fmt.Errorf("%s: %w", field, err))
		}
	}
	host, port, err := net.SplitHostPort(c.Address)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || n == 0 {
		add("address", errors.New("has to be host:port, as smtp.example.com:587"))
	}
	_, err = address(c.From)
	add("from", err)
	if len(c.Recipients) == 0 {
		add("recipients", errors.New("are missing: list the addresses that may be written to, or @example.com for a domain"))
	}
	for n, r := range c.Recipients {
		if _, err := address(strings.Repeat("x", btoi(strings.HasPrefix(r, "@"))) + r); err != nil {
			add(fmt.Sprintf("recipients[%d]", n), err)
		}
	}
	switch c.Security {
	case "", STARTTLS, TLS:
	case None:
		if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
			add("security", errors.New("none is for a server on loopback only: everybody on the way could read and change the mail"))
		}
	default:
		add("security", errors.New("has to be starttls, tls or none"))
	}
	if (c.User == "") != (c.PasswordRef == "") {
		add("user", errors.New("and passwordRef go together"))
	}
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// address is one plain address: no name before it, no comment, no line break. RFC 5321's quoted forms are refused.
func address(s string) (string, error) {
	a, err := netmail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s || len(s) > maxAddress || strings.ContainsAny(s, "\"\r\n ,;<>") {
		return "", errors.New("is no plain e-mail address, as ops@example.com")
	}
	return s, nil
}

// Server is a mail server as it is configured. Safe for concurrent use.
type Server struct {
	config   Config
	password string
	// Origin is this deployment's name, in message ids.
	Origin string
	// Roots are trusted instead of the system's; nil: those.
	Roots *x509.CertPool
}

// NewServer takes a Config that has no problems, and the password that it refers to.
func NewServer(c Config, password, origin string) *Server {
	return &Server{config: c, password: password, Origin: origin}
}

// String hides the password from every verb.
func (s *Server) String() string { return "mail server " + s.config.Address }

// GoString hides the password.
func (s *Server) GoString() string { return s.String() }

// Sink is a recipient that Parse has accepted.
type Sink struct{ to string }

// Is tells a sink that is a mailbox from a URL that is posted to.
func Is(raw string) bool {
	return len(raw) >= len(Scheme) && strings.EqualFold(raw[:len(Scheme)], Scheme)
}

// Parse reads mailto: with one address and no fields. It has to be allowed. Of several, one that the server refuses would
// keep the mail from all: each has a subscription of its own.
func (s *Server) Parse(raw string) (Sink, error) {
	if s == nil || s.config.Address == "" {
		return Sink{}, errors.New("is an e-mail address, but no mail server is configured: ask the operator to set notifier.mail")
	}
	if len(raw) > maxSink {
		return Sink{}, fmt.Errorf("has %d characters, at most %d", len(raw), maxSink)
	}
	if !Is(raw) || strings.ContainsAny(raw, "?#") {
		return Sink{}, errors.New("has to be mailto: and an address, without fields: remove what follows the ?")
	}
	to, err := url.PathUnescape(raw[len(Scheme):])
	if err != nil {
		return Sink{}, errors.New("has an escape that is none: write mailto:ops@example.com")
	}
	if strings.Contains(to, ",") {
		return Sink{}, errors.New("names several recipients: make a subscription for each")
	}
	if to, err = address(to); err != nil {
		return Sink{}, err
	}
	if !s.allows(to) {
		return Sink{}, errors.New("names a recipient that notifier.mail.recipients does not allow: ask the operator to add it")
	}
	return Sink{to}, nil
}

func (s *Server) allows(a string) bool {
	for _, r := range s.config.Recipients {
		if domain := a[strings.LastIndex(a, "@"):]; strings.EqualFold(r, a) || strings.HasPrefix(r, "@") && strings.EqualFold(r, domain) {
			return true
		}
	}
	return false
}

// Origin is what events may tell of the sink: mailto and the domain of the recipient, never an address
// (events.md 2.6).
func (s Sink) Origin() string {
	return Scheme + s.to[strings.LastIndex(s.to, "@"):]
}
