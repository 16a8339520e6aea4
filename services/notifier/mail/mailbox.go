package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/format"
)

const (
	connectWait = 5 * time.Second
	maxWait     = 30 * time.Second // the longest timeout of a subscription
)

// Mailbox is one subscription's way to its recipient. Each message has a connection of its own. Safe for concurrent
// use.
type Mailbox struct {
	Sink
	server *Server
}

var _ delivery.Endpoint = (*Mailbox)(nil)

// New makes the endpoint of one subscription.
func (s *Server) New(to Sink) *Mailbox { return &Mailbox{to, s} }

// String is what logs show: no address.
func (m *Mailbox) String() string { return m.Origin() }

// Encode implements delivery.Endpoint: the text of the message, its first line the subject.
func (m *Mailbox) Encode(ev events.Event) ([]byte, error) { return []byte(format.Mail(ev)), nil }

// Form implements delivery.Endpoint.
func (m *Mailbox) Form() string { return "email" }

// Post implements delivery.Endpoint: it hands one message to the server, and the status is the server's reply code
// (RFC 5321 4.2). A repeat has the same message id.
func (m *Mailbox) Post(ctx context.Context, r delivery.Request) delivery.Answer {
	msg, err := m.message(r)
	if err != nil {
		return delivery.Answer{Failure: delivery.ProtocolError, Err: err}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialer := &dialer{until: ctx, tls: m.server.tls(), implicit: m.server.config.Security == TLS}
	client, err := m.server.client(dialer)
	if err != nil {
		return delivery.Answer{Failure: delivery.ProtocolError, Err: err}
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil && !msg.IsDelivered() { // a farewell may fail
		return m.refused(ctx, err, dialer.failure)
	}
	return delivery.Answer{Status: 250}
}

// plainID is what may stand in a message id as it is.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func (m *Mailbox) message(r delivery.Request) (*gomail.Msg, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.From(m.server.config.From); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	if err := msg.To(m.to); err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	subject, text, _ := strings.Cut(string(r.Body), "\n")
	msg.Subject(subject)
	msg.SetDateWithValue(r.At)
	msg.SetMessageIDWithValue(r.DeliveryID + "@" + m.server.Origin)
	if plainID.MatchString(r.Event.PartitionKey) { // what happens to one backup is one conversation
		msg.SetGenHeaderPreformatted("References", "<"+r.Event.PartitionKey+"@"+m.server.Origin+">")
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("Backupbus-Event-Id", r.Event.ID)
	msg.SetGenHeader("Backupbus-Event-Type", r.Event.Type)
	msg.SetGenHeader("Backupbus-Delivery-Id", r.DeliveryID)
	msg.SetGenHeader("Backupbus-Attempt", strconv.Itoa(r.Attempt))
	msg.SetBodyString(gomail.TypeTextPlain, strings.TrimLeft(text, "\n"))
	return msg, nil
}

func (s *Server) client(d *dialer) (*gomail.Client, error) {
	host, port, err := net.SplitHostPort(s.config.Address)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	policy := gomail.TLSMandatory
	if s.config.Security == TLS || s.config.Security == None {
		policy = gomail.NoTLS
	}
	options := []gomail.Option{gomail.WithPort(n), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(s.tls()), gomail.WithDialContextFunc(d.dial),
		gomail.WithHELO(s.Origin), gomail.WithTimeout(maxWait), gomail.WithoutNoop()}
	if s.config.User != "" {
		options = append(options, gomail.WithUsername(s.config.User), gomail.WithPassword(s.password), gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	return gomail.NewClient(host, options...)
}

func (s *Server) tls() *tls.Config {
	host, _, _ := net.SplitHostPort(s.config.Address)
	return &tls.Config{ServerName: host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
}

// dialer connects, and remembers in which phase that failed.
type dialer struct {
	until    context.Context // the connection ends with it: the client only knows timeouts of its own
	tls      *tls.Config
	implicit bool
	failure  delivery.Outcome
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.failure = delivery.ConnectFailure
	c, err := (&net.Dialer{Timeout: connectWait}).DialContext(ctx, network, address)
	var dns *net.DNSError
	if errors.As(err, &dns) {
		d.failure = delivery.DNSFailure
	}
	if err != nil {
		return nil, err
	}
	context.AfterFunc(d.until, func() { _ = c.Close() })
	if d.implicit {
		d.failure = delivery.TLSFailure
		secured := tls.Client(c, d.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		d.failure = ""
		return secured, nil
	}
	d.failure = ""
	return c, nil
}

// refused is what an error means. The reply of the server decides, if there was one.
func (m *Mailbox) refused(ctx context.Context, err error, phase delivery.Outcome) delivery.Answer {
	text := m.hide(err.Error())
	var said *gomail.SendError
	var reply *textproto.Error
	switch {
	case errors.As(err, &said) && said.ErrorCode() >= 400:
		return delivery.Answer{Status: said.ErrorCode(), Judged: judged(said.ErrorCode(), said.Reason), Body: m.hide(said.Error()), Err: errors.New(text)}
	case errors.As(err, &reply) && reply.Code >= 400:
		return delivery.Answer{Status: reply.Code, Judged: judged(reply.Code, beforeMail), Body: m.hide(reply.Msg), Err: errors.New(text)}
	}
	var timeout net.Error
	var bad *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	a := delivery.Answer{Failure: delivery.ProtocolError, Err: errors.New(text)}
	switch {
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		a.Failure = delivery.Timeout
	case phase != "":
		a.Failure = phase
	case errors.As(err, &bad), errors.As(err, &record), strings.Contains(text, "STARTTLS"):
		a.Failure = delivery.TLSFailure
	}
	return a
}

// beforeMail is the phase of greeting, STARTTLS and AUTH.
const beforeMail gomail.SendErrReason = -1

// judged is what a reply code means in its phase: not what HTTP means by the same number. Only what the server says of
// sender, recipient or text is for good; a refused password is the operator's to mend.
func judged(code int, phase gomail.SendErrReason) delivery.Outcome {
	switch code {
	case 421, 450, 451, 452: // greylisting, full mailboxes, a server that is busy
		return delivery.Throttled
	}
	switch phase {
	case gomail.ErrSMTPMailFrom, gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose:
		if code >= 500 && code < 600 {
			return delivery.PermanentStatus
		}
	}
	return delivery.HTTPError
}

// addresses are all that is shaped like one.
var addresses = regexp.MustCompile(`[^\s<>()\[\]"',;:=]+@[^\s<>()\[\]"',;:=]+`)

// leastUser is how long a user's name has to be for it to be known in a text: a shorter one is part of other words.
const leastUser = 4

// hide takes addresses out of what the server says, and the user who logs in: users read it.
func (m *Mailbox) hide(answer string) string {
	answer = addresses.ReplaceAllLiteralString(answer, events.Redacted)
	if u := m.server.config.User; len(u) >= leastUser {
		answer = regexp.MustCompile("(?i)"+regexp.QuoteMeta(u)).ReplaceAllLiteralString(answer, events.Redacted)
	}
	return answer
}
