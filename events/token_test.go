package events_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/backupbus/backupbus/events"
)

// The rows of events.md 1.3 (case E3).
var tokens = []struct{ raw, token string }{
	{"orders-db", "orders-db"},
	{"a*b>", "a~2Ab~3E"},
	{"orders.db", "orders~2Edb"},
	{"example.com:proj", "example~2Ecom~3Aproj"},
	{"my db", "my~20db"},
	{"café", "caf~C3~A9"},
	{"_", "~5F"},
	{"__", "__"},
	{"A/B", "A~2FB"},
	{"50%", "50~25"},
	{strings.Repeat("x", 64), strings.Repeat("x", 64)},
	{strings.Repeat("x", 65), "~hsu34l7prebec67ky2jpj5vmd6u"},
}

func TestToken_ContractRows(t *testing.T) {
	t.Parallel()
	for _, row := range tokens {
		got, err := events.Token(row.raw)
		if err != nil || got != row.token {
			t.Errorf("Token(%q) = %q, %v; want %q", row.raw, got, err, row.token)
		}
		back, err := events.Untoken(row.token)
		if strings.HasPrefix(row.token, "~h") {
			if err == nil {
				t.Errorf("Untoken(%q) = %q; a hashed token has no way back", row.token, back)
			}
			continue
		}
		if err != nil || back != row.raw {
			t.Errorf("Untoken(%q) = %q, %v; want %q", row.token, back, err, row.raw)
		}
	}
}

func TestToken_RefusesWhatHasNone(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "\xff"} {
		if got, err := events.Token(raw); err == nil {
			t.Errorf("Token(%q) = %q; want an error", raw, got)
		}
	}
	for _, token := range []string{"", "_", "~", "~5", "~5f", "~41", "a.b", "~C3", "a b"} {
		if got, err := events.Untoken(token); err == nil {
			t.Errorf("Untoken(%q) = %q; want an error", token, got)
		}
	}
}

func TestToken_IsOneSubjectTokenAndReversible(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.String().Filter(func(s string) bool { return s != "" }).Draw(t, "raw")
		token, err := events.Token(raw)
		if err != nil {
			t.Fatal(err)
		}
		if len(token) > 64 || token == "_" || strings.ContainsAny(token, ".*> \t\r\n") {
			t.Fatalf("Token(%q) = %q is no subject token", raw, token)
		}
		if strings.HasPrefix(token, "~h") {
			return
		}
		if back, err := events.Untoken(token); err != nil || back != raw {
			t.Fatalf("Untoken(%q) = %q, %v; want %q", token, back, err, raw)
		}
	})
}
