package mail

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/mail/mailtest"
)

func config(s *mailtest.Server) Config {
	return Config{Address: s.Address, From: "backupbus@example.com", Recipients: []string{"@example.com", "boss@example.org"},
		User: mailtest.User, PasswordRef: "env:X"}
}

func mailbox(t *testing.T, s *mailtest.Server, c Config, to string) *Mailbox {
	t.Helper()
	if problems := c.Problems(); len(problems) > 0 {
		t.Fatal(problems)
	}
	with := NewServer(c, mailtest.Password, "bus.test")
	with.Roots = s.Roots
	sink, err := with.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	return with.New(sink)
}

var failedBackup = events.Event{ID: "bk_1-failed-2", Type: "dev.backupbus.backup.failed.v1", Project: "shop", Instance: "orders", PartitionKey: "bk_1",
	Severity: 17, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	Data: []byte(`{"instance":"orders","provider":"mysql","project":"shop","error":{"code":"DISK_FULL","message":"the storage is full"}}`)}

func request(m *Mailbox, attempt int) delivery.Request {
	body, _ := m.Encode(failedBackup)
	return delivery.Request{Event: failedBackup, SubscriptionID: "su_1", DeliveryID: "dl_1", Attempt: attempt, At: time.Now(), Body: body}
}

func TestPost_SendsAMessage(t *testing.T) {
	t.Parallel()
	for name, security := range map[string]string{"starttls": "", "tls": TLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mailtest.Run(t, security == TLS)
			c := config(s)
			c.Security = security
			m := mailbox(t, s, c, "mailto:ops@example.com")
			for attempt := range 2 {
				if a := m.Post(t.Context(), request(m, attempt+1)); a.Status != 250 || a.Err != nil {
					t.Fatalf("%+v", a)
				}
			}
			got := s.Messages()
			if len(got) != 2 {
				t.Fatalf("%d messages", len(got))
			}
			if diff := cmp.Diff(mailtest.Message{From: "backupbus@example.com", User: mailtest.User, To: []string{"ops@example.com"}, TLS: true, Text: got[0].Text}, got[0]); diff != "" {
				t.Error(diff)
			}
			msg, err := netmail.ReadMessage(strings.NewReader(got[0].Text))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(msg.Body)
			if err != nil {
				t.Fatal(err)
			}
			const line = "Backup failed: orders (mysql) in project shop"
			for h, want := range map[string]string{"Subject": line, "Message-Id": "<dl_1@bus.test>", "References": "<bk_1@bus.test>",
				"Auto-Submitted": "auto-generated", "Backupbus-Event-Id": "bk_1-failed-2", "Backupbus-Delivery-Id": "dl_1"} {
				if msg.Header.Get(h) != want {
					t.Errorf("%s: %q, want %q", h, msg.Header.Get(h), want)
				}
			}
			if !strings.HasPrefix(string(text), line) || !strings.Contains(string(text), "DISK_FULL: the storage is full") {
				t.Errorf("%s", text)
			}
			again, err := netmail.ReadMessage(strings.NewReader(got[1].Text))
			if err != nil || again.Header.Get("Message-Id") != msg.Header.Get("Message-Id") || again.Header.Get("Backupbus-Attempt") != "2" {
				t.Errorf("a repeat is another message: %v %v", again.Header, err)
			}
		})
	}
}

func TestPost_WhatTheServerSaysDecides(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		rcpt, data error
		status     int
		judged     delivery.Outcome
	}{
		{"no such mailbox", &smtp.SMTPError{Code: 550, Message: "Ops@Example.com is unknown"}, nil, 550, delivery.PermanentStatus},
		{"bad address", &smtp.SMTPError{Code: 510, Message: "bad address"}, nil, 510, delivery.PermanentStatus},
		{"closing", &smtp.SMTPError{Code: 421, Message: "busy"}, nil, 421, delivery.Throttled},
		{"mailbox busy", &smtp.SMTPError{Code: 450, Message: "busy"}, nil, 450, delivery.Throttled},
		{"try later", &smtp.SMTPError{Code: 451, Message: "greylisted"}, nil, 451, delivery.Throttled},
		{"mailbox full", &smtp.SMTPError{Code: 452, Message: "full"}, nil, 452, delivery.Throttled},
		{"no TLS just now", &smtp.SMTPError{Code: 454, Message: "not now"}, nil, 454, delivery.HTTPError},
		{"full after the text", nil, &smtp.SMTPError{Code: 452, Message: "full"}, 452, delivery.Throttled},
		{"refused content", nil, &smtp.SMTPError{Code: 554, Message: "looks like spam"}, 554, delivery.PermanentStatus},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := mailtest.Run(t, false)
			s.Refuse(c.rcpt, c.data)
			m := mailbox(t, s, config(s), "mailto:ops@example.com")
			a := m.Post(t.Context(), request(m, 1))
			if a.Status != c.status || a.Judged != c.judged || strings.Contains(strings.ToLower(a.Body), "ops@") || len(s.Messages()) > 0 {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestPost_FailuresHaveTheirNames(t *testing.T) {
	t.Parallel()
	closed := func() string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = ln.Close()
		return ln.Addr().String()
	}()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for _, c := range []struct {
		name   string
		server func(t *testing.T) (*mailtest.Server, Config)
		want   delivery.Outcome
		status int
	}{
		{"nobody listens", func(t *testing.T) (*mailtest.Server, Config) {
			s := mailtest.Run(t, false)
			cfg := config(s)
			cfg.Address = closed
			return s, cfg
		}, delivery.ConnectFailure, 0},
		{"no answer", func(t *testing.T) (*mailtest.Server, Config) {
			s := mailtest.Run(t, false)
			cfg := config(s)
			cfg.Address = silent.Addr().String()
			return s, cfg
		}, delivery.Timeout, 0},
		{"no STARTTLS", func(t *testing.T) (*mailtest.Server, Config) {
			s := mailtest.Run(t, false, mailtest.Plain)
			return s, config(s)
		}, delivery.TLSFailure, 0},
		{"another's certificate", func(t *testing.T) (*mailtest.Server, Config) {
			s := mailtest.Run(t, false)
			s.Roots = x509.NewCertPool()
			return s, config(s)
		}, delivery.TLSFailure, 0},
		{"another's certificate, TLS", func(t *testing.T) (*mailtest.Server, Config) {
			s := mailtest.Run(t, true)
			s.Roots = x509.NewCertPool()
			cfg := config(s)
			cfg.Security = TLS
			return s, cfg
		}, delivery.TLSFailure, 0},
		{"wrong password", func(t *testing.T) (*mailtest.Server, Config) {
			s := mailtest.Run(t, false)
			cfg := config(s)
			cfg.User = "nobody"
			return s, cfg
		}, "", 535},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, cfg := c.server(t)
			m := mailbox(t, s, cfg, "mailto:ops@example.com")
			ctx := t.Context()
			if c.want == delivery.Timeout {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
			}
			a := m.Post(ctx, request(m, 1))
			if a.Failure != c.want || a.Status != c.status || a.Err == nil || (a.Judged == delivery.HTTPError) != (c.status == 535) {
				t.Errorf("%+v", a)
			}
			if len(s.Messages()) > 0 {
				t.Error("a message was sent")
			}
			for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s", m, m, m, m.server), a.Body, a.Err.Error()} {
				if strings.Contains(shown, mailtest.Password) {
					t.Errorf("the password is shown: %s", shown)
				}
			}
		})
	}
}

func TestHide_TakesOutAddressesAndTheUser(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ user, answer, want string }{
		{"", "<OPS@Example.COM>: relay=ops+x@example.com:25, boss@example.org unknown", "<***>: relay=***:25, *** unknown"},
		{"backupbus", "no rights for BackupBus here", "no rights for *** here"},
		{"abc", "abcdef", "abcdef"},
		{"", "5.7.1 nobody", "5.7.1 nobody"},
	} {
		m := NewServer(Config{From: "b@example.com", User: c.user}, "", "").New(Sink{"ops@example.com"})
		if got := m.hide(c.answer); got != strings.ReplaceAll(c.want, "***", events.Redacted) {
			t.Errorf("%s: %s", c.answer, got)
		}
	}
}

// What is no plain id is left out of References, as it might be a header of its own.
func TestMessage_ReferencesPlainIDsOnly(t *testing.T) {
	t.Parallel()
	m := NewServer(Config{From: "b@example.com"}, "", "bus.test").New(Sink{"ops@example.com"})
	for key, want := range map[string]string{"bk_1": "<bk_1@bus.test>", "": "", "a b": "", "x>\r\nBcc: <y": "", "bk_1\n": "", strings.Repeat("x", 65): ""} {
		ev := failedBackup
		ev.PartitionKey = key
		msg, err := m.message(delivery.Request{Event: ev, DeliveryID: "dl_1", At: time.Now(), Body: []byte("x\n\ny")})
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if _, err := msg.WriteTo(&text); err != nil {
			t.Fatal(err)
		}
		read, err := netmail.ReadMessage(strings.NewReader(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		if got := read.Header.Get("References"); got != want || read.Header.Get("Bcc") != "" {
			t.Errorf("%q: %q", key, got)
		}
	}
}

func TestParse_Sinks(t *testing.T) {
	t.Parallel()
	s := NewServer(Config{Address: "smtp.example.com:587", From: "b@example.com", Recipients: []string{"@example.com", "boss@example.org"}}, "", "bus.test")
	for raw, origin := range map[string]string{
		"mailto:ops@example.com": "mailto:@example.com", "MAILTO:Boss@Example.ORG": "mailto:@Example.ORG", "mailto:ops%40example.com": "mailto:@example.com",
		"mailto:a@example.com,boss@example.org": "", "mailto:a@example.com%2Cboss@example.org": "",
		"mailto:": "", "mailto:ops": "", "mailto:ops@example.net": "", "mailto:ops@sub.example.com": "", "mailto:ops@example.com.evil.net": "",
		"mailto:ops@example.com,x@evil.net": "", "mailto:ops@example.com?cc=x@evil.net": "", "mailto:ops@example.com%0d%0aBcc:x@evil.net": "",
		"mailto:Ops <ops@example.com>": "", `mailto:"x@evil.net"@example.com`: "", "mailto:ops@example.com,": "", "https://example.com": "",
		"mailto:" + strings.Repeat("x", 3000) + "@example.com": "",
	} {
		got, err := s.Parse(raw)
		if (err == nil) != (origin != "") || err == nil && got.Origin() != origin {
			t.Errorf("%.60s: %v %v", raw, got, err)
		}
	}
	for _, none := range []*Server{nil, NewServer(Config{}, "", "")} {
		if _, err := none.Parse("mailto:ops@example.com"); err == nil {
			t.Error("accepted without a server")
		}
	}
}

func TestConfig_Problems(t *testing.T) {
	t.Parallel()
	good := Config{Address: "smtp.example.com:587", From: "b@example.com", Recipients: []string{"@example.com"}}
	for want, change := range map[string]func(*Config){
		"": func(*Config) {}, "address": func(c *Config) { c.Address = "smtp.example.com" }, "from": func(c *Config) { c.From = "Bus <b@example.com>" },
		"recipients": func(c *Config) { c.Recipients = nil }, "recipients[1]": func(c *Config) { c.Recipients = append(c.Recipients, "@") },
		"security": func(c *Config) { c.Security = None }, "security:": func(c *Config) { c.Security = "ssl" }, "user": func(c *Config) { c.User = "x" },
	} {
		c := good
		change(&c)
		err := errors.Join(c.Problems()...)
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := errors.Join(Config{From: "b@example.com"}.Problems()...); err == nil {
		t.Error("a sender without a server")
	}
	local := good
	local.Address, local.Security = "127.0.0.1:25", None
	if err := errors.Join(local.Problems()...); err != nil {
		t.Error(err)
	}
}
