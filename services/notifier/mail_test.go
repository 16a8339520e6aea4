package notifier

import (
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/mail"
	"github.com/backupbus/backupbus/services/notifier/mail/mailtest"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

func (w *world) mails() *mailtest.Server {
	s := mailtest.Run(w.t, false, mailtest.Plain)
	w.config.Mail = mail.Config{Address: s.Address, From: "backupbus@example.com", Recipients: []string{"@example.com"}, Security: mail.None}
	return s
}

// TestMail_OverTheAPI: a subscription to a mailbox lives as one to a URL does. A server that refuses at first gets the
// message again, once it takes it, and no event tells an address.
func TestMail_OverTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan.Delays = slices.Repeat(w.plan.Delays, 100)
	s := w.mails()
	c := w.serve()
	made := c.must(201, "POST", "", map[string]any{"sink": "mailto:ops@example.com", "protocol": "SMTP", "config": map[string]any{"name": "ops"}})
	if st := made["status"].(map[string]any); st["state"] != subscription.Active || made["signingSecret"] != nil {
		t.Errorf("%v", made)
	}
	s.Refuse(&smtp.SMTPError{Code: 451, Message: "later, ops@example.com"}, nil)
	ev := w.backup("shop", "orders")
	id := made["id"].(string)
	var tried *delivery.Record
	eventually(t, "an attempt", func() bool {
		all := w.deliveries()
		if len(all) == 1 {
			tried = all[0]
		}
		return len(all) == 1 && len(tried.Attempts) > 0
	})
	if a := tried.Attempts[0]; tried.SubscriptionID != id || a.StatusCode != 451 || a.Outcome != delivery.Throttled || strings.Contains(a.ResponseBodyPreview, "ops@") {
		t.Errorf("%+v", a)
	}
	s.Refuse(nil, nil)
	got := s.Await(t, 1)[0]
	if !strings.Contains(got.Text, "Backupbus-Event-Id: "+ev.ID) || !strings.Contains(got.Text, "Subject: Backup requested: orders") {
		t.Errorf("%s", got.Text)
	}
	w.accounted(1)
	if n := len(s.Messages()); n != 1 || w.states()[delivery.Delivered] != 1 {
		t.Errorf("%d messages", n)
	}
	for _, told := range w.told("subscription") {
		if strings.Contains(string(told.Data), "ops@") || !strings.Contains(string(told.Data), `"sinkOrigin":"mailto:@example.com"`) {
			t.Errorf("%s", told.Data)
		}
	}
	for _, bad := range []map[string]any{
		{"sink": "mailto:ops@example.net", "protocol": "SMTP"}, {"sink": "mailto:ops@example.com,it@example.com", "protocol": "SMTP"},
		{"sink": "mailto:ops@example.com", "protocol": "HTTP"}, {"sink": "https://example.com/", "protocol": "SMTP"},
		{"sink": "mailto:ops@example.com", "protocol": "SMTP", "protocolsettings": map[string]any{"format": "slack"}},
		{"sink": "mailto:ops@example.com", "protocol": "SMTP", "protocolsettings": map[string]any{"signing": []string{"v1"}}},
		{"sink": "mailto:ops@example.com", "protocol": "SMTP", "protocolsettings": map[string]any{"headers": map[string]any{"Bcc": "x@example.net"}}},
	} {
		c.must(400, "POST", "", bad)
	}
	if strings.Contains(w.log.String(), "ops@") {
		t.Error("the log names a recipient")
	}
}

// A change of the protocol resets what was said of the other one, and nothing else.
func TestMail_ProtocolChangesBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mails()
	r := willing(t, "*", 200)
	c := w.serve(r.URL)
	id, _ := c.make(r.URL, func(b map[string]any) {
		b["protocolsettings"] = map[string]any{"contentMode": "binary", "signing": []string{"v1a"}, "timeoutMs": 5000,
			"headers": map[string]any{"Authorization": "canary-header"}}
	})
	settings := func(out map[string]any) map[string]any { return out["protocolsettings"].(map[string]any) }
	mailed := c.must(200, "PATCH", "/"+id, map[string]any{"sink": "mailto:ops@example.com", "protocol": "SMTP"})
	want := map[string]any{"ordering": "none", "contentMode": "structured", "format": "email", "timeoutMs": 5000.0, "maxInFlight": 8.0, "ratePerMinute": 600.0}
	if diff := cmp.Diff(want, settings(mailed)); diff != "" {
		t.Error(diff)
	}
	back := map[string]any{"sink": r.URL, "protocol": "HTTP"}
	want["format"], want["signing"] = "cloudevent", []any{"v1"}
	if diff := cmp.Diff(want, settings(c.must(200, "PATCH", "/"+id, back))); diff != "" {
		t.Error(diff)
	}
	c.must(200, "PATCH", "/"+id, map[string]any{"sink": "mailto:ops@example.com", "protocol": "SMTP"})
	back["protocolsettings"] = map[string]any{"format": "slack"}
	want["format"] = "slack"
	if diff := cmp.Diff(want, settings(c.must(200, "PATCH", "/"+id, back))); diff != "" {
		t.Error(diff)
	}
	c.must(400, "PATCH", "/"+id, map[string]any{"sink": "mailto:ops@example.com", "protocol": "SMTP", "protocolsettings": map[string]any{"format": "slack"}})
	same := c.must(200, "PATCH", "/"+id, map[string]any{"protocol": "HTTP", "protocolsettings": map[string]any{"timeoutMs": 6000}})
	if want["timeoutMs"] = 6000.0; !cmp.Equal(want, settings(same)) {
		t.Errorf("of the same protocol: %v", settings(same))
	}
}

func TestMail_OfTheSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.mails()
	w.config.Subscriptions = append(w.config.Subscriptions, subscription.Subscription{Name: "ops", Project: "shop", Sink: "mailto:ops@example.com"})
	w.start()
	ev := w.backup("shop", "orders")
	if got := s.Await(t, 1)[0]; !strings.Contains(got.Text, "Backupbus-Event-Id: "+ev.ID) || len(got.To) != 1 || got.To[0] != "ops@example.com" {
		t.Errorf("%+v", got)
	}
}
