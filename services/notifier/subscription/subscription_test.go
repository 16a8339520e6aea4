package subscription

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestProblems_OfEverythingElse(t *testing.T) {
	t.Parallel()
	s := Subscription{Name: "a\nb", TimeoutMs: 999, MaxInFlight: 65, RatePerMinute: 60_001, Format: "fax",
		Interest: Interest{Types: []string{"dev.backupbus.backup.failed.v1", "backup.failed", "dev.backupbus.backup.progress.v1"}}}
	want := []string{
		"s.name: holds a line feed: remove it",
		"s.project: is missing",
		"s.timeoutMs: 999 is not between 1000 and 30000",
		"s.ratePerMinute: 60001 is not between 1 and 60000",
		"s.format: has to be one of cloudevent, slack, teams, discord",
		"s.maxInFlight: 65 is not between 1 and 64",
		`s.types[1]: "backup.failed" is no event type: write it as dev.backupbus.backup.succeeded.v1`,
		"s.types[2]: progress never goes to webhooks: read it from the event stream",
	}
	if diff := cmp.Diff(want, texts(s.Problems("s"))); diff != "" {
		t.Error(diff)
	}
	d := Subscription{Name: "n", Project: "p"}
	if d.Timeout() != 15*time.Second || d.InFlight() != 8 || len(d.Problems("s")) != 0 {
		t.Errorf("defaults: %s, %d, %v", d.Timeout(), d.InFlight(), d.Problems("s"))
	}
}

func texts(errs []error) []string {
	var out []string
	for _, e := range errs {
		out = append(out, e.Error())
	}
	return out
}

func TestURL_ShowsNoQuery(t *testing.T) {
	t.Parallel()
	s := Subscription{Sink: "https://a.example/in?token=canary"}
	out := fmt.Sprintf("%v %+v %#v %v", s, s, s, &s)
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if out += string(j) + string(y); strings.Contains(out, "canary") || !strings.Contains(out, "https://a.example/in?…") {
		t.Errorf("got %s", out)
	}
}

func TestViolations_NameEveryPlace(t *testing.T) {
	t.Parallel()
	s := Spec{Protocol: "SMS", Interest: Interest{Types: []string{"x"}}, Config: Config{Description: strings.Repeat("x", 1025)},
		Settings: Settings{Ordering: "total", ContentMode: "binary", Format: "slack", Signing: []string{"v2"}, TimeoutMs: 1, MaxInFlight: 65, RatePerMinute: -1,
			Headers: map[string]string{"Host": "a", "ce-id": "b", "Webhook-Id": "c", "Authorization": "d", "X-A": "a\nb", "x y": "z", "Traceparent": "t"}}}
	var got []string
	for _, v := range s.Violations() {
		got = append(got, v.Path)
		if strings.Contains(v.Message, "a\nb") {
			t.Errorf("%s shows the value", v.Path)
		}
	}
	const at = "/protocolsettings/"
	want := []string{"/config/description", "/protocol", at + "contentMode", at + "headers/Host", at + "headers/Traceparent", at + "headers/Webhook-Id",
		at + "headers/X-A", at + "headers/ce-id", at + "headers/x y", at + "maxInFlight", at + "ordering", at + "ratePerMinute", at + "signing/0",
		at + "timeoutMs", "/types/0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if v := (Spec{Protocol: HTTP}).WithDefaults().Violations(); len(v) > 0 {
		t.Errorf("the defaults: %v", v)
	}
}

func TestSealer_OpensOnlyItsOwn(t *testing.T) {
	t.Parallel()
	a, err := NewSealer(NewSealKey())
	if err != nil {
		t.Fatal(err)
	}
	d := Document{ID: "su_a", Project: "shop", SinkURL: "https://h.example/?token=canary", Secret: "whsec_canary", Generation: 3}
	b, err := a.seal(d)
	if err != nil || strings.Contains(string(b), "canary") {
		t.Fatalf("%q, %v", b, err)
	}
	got, err := a.open("su_a", b)
	if err != nil || got.Secret != d.Secret || got.SinkURL != d.SinkURL || got.Generation != 3 {
		t.Errorf("%v", err)
	}
	if _, err := a.open("su_b", b); err == nil {
		t.Error("it opens in another's place")
	}
	other, err := NewSealer(NewSealKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.open("su_a", b); err == nil {
		t.Error("another key opens it")
	}
	b[len(b)-1]++
	if _, err := a.open("su_a", b); err == nil {
		t.Error("it opens although it was changed")
	}
	for _, key := range []string{"", "short", NewSealKey()[2:], "canary"} {
		if _, err := NewSealer(key); err == nil || key != "" && strings.Contains(err.Error(), key) {
			t.Errorf("%q: %v", key, err)
		}
	}
	shown := fmt.Sprintf("%v %+v %#v %s %x", d, d, d, &d, []Document{d})
	if _, err := json.Marshal(d); err == nil {
		t.Error("it can be encoded")
	}
	if strings.Contains(shown, "canary") {
		t.Errorf("shown: %s", shown)
	}
}
