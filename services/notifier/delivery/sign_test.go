package delivery

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.yaml.in/yaml/v3"
)

// Secrets of events.md 10; for tests only.
const (
	secretA = "whsec_n+VyQXfKZFHh0TkFGdCnY3WSCIqSRRu0wQgakKxwmww="
	secretB = "whsec_wAihGed+kPuZ5FQyO7nzcPyLnzVCLU9/qzHjpbXgjj0="
)

func secret(t testing.TB, s string) Secret {
	t.Helper()
	out, err := ParseSecret(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func longBody(t testing.TB) []byte {
	t.Helper()
	body, err := os.ReadFile("testdata/signing_vector.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	if got := hex.EncodeToString(sum[:]); got != "1ac4a3bc36eedcef2fe6ed6d320c39c4060b1b3ef8e0bf3bd3767042fd866a00" {
		t.Fatalf("testdata is not the body of events.md 10: SHA-256 %s", got)
	}
	return body
}

// W1: the vectors of events.md 10.
func TestSign_VectorsOfTheContract(t *testing.T) {
	t.Parallel()
	const longID = "bk_oa2dry5sym5ypupjn6gheq6nlr-succeeded-1"
	for _, c := range []struct {
		name, secret, id string
		at               int64
		body             []byte
		want             string
	}{
		{"short", secretA, "evt-1", 1700000000, []byte(`{"test":1}`), "v1,Ftt5pNzv83EG2WvGXsISaUD4n6XZhRfkUPTHMtVMs0s="},
		{"long, current", secretA, longID, 1768443104, longBody(t), "v1,equJXFKbU5wV99bnxSTnziVsLaGLSD8znxzLbdFW3t4="},
		{"long, previous", secretB, longID, 1768443104, longBody(t), "v1,wnRxZiCYpDMqVxmqOLBf2YWIXhmfAPE+MTvWP/eAUEs="},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := secret(t, c.secret).Sign(c.id, time.Unix(c.at, 0), c.body)
			if err != nil || got != c.want {
				t.Fatalf("want %s, got %s, %v", c.want, got, err)
			}
			verify := func(id string, at int64, body []byte) error {
				wh, err := standardwebhooks.NewWebhook(c.secret)
				if err != nil {
					t.Fatal(err)
				}
				h := http.Header{}
				h.Set("webhook-id", id)
				h.Set("webhook-timestamp", strconv.FormatInt(at, 10))
				h.Set("webhook-signature", got)
				return wh.VerifyIgnoringTimestamp(body, h)
			}
			if err := verify(c.id, c.at, c.body); err != nil {
				t.Errorf("the library refuses it: %v", err)
			}
			if verify(c.id, c.at, append(bytes.Clone(c.body), ' ')) == nil || verify(c.id+"x", c.at, c.body) == nil ||
				verify(c.id, c.at+1, c.body) == nil {
				t.Error("the library accepts something else")
			}
		})
	}
}

// W1 and W3: both schemes, in an overlap.
func TestKeys_SignAsTheContractSays(t *testing.T) {
	t.Parallel()
	seed := sha256.Sum256([]byte("backupbus test vector ed25519 seed"))
	pair, err := NewKeyPair(seed[:])
	if err != nil || pair.Public() != "whpk_o0V67+srCf7vr9LC7OScZlodje76TkxgpSGR7ESj5V4=" {
		t.Fatalf("%s, %v", pair.Public(), err)
	}
	at := time.Unix(1768443104, 0)
	k := Keys{Secret: secret(t, secretA), PreviousSecret: secret(t, secretB), Pair: pair, PreviousUntil: at.Add(time.Second)}
	const id = "bk_oa2dry5sym5ypupjn6gheq6nlr-succeeded-1"
	got, err := k.Sign(id, at, longBody(t))
	want := "v1,equJXFKbU5wV99bnxSTnziVsLaGLSD8znxzLbdFW3t4= v1,wnRxZiCYpDMqVxmqOLBf2YWIXhmfAPE+MTvWP/eAUEs= " +
		"v1a,/WbBLBRPqBZdv2ULNI6HxjIBMBcbdZqPlC7CpIUHLED8uzXaHq8JIfeYnH4OX9LiWJ9db65WYzSEUqrFKqJbDA=="
	if err != nil || got != want {
		t.Errorf("want %s\ngot  %s, %v", want, got, err)
	}
	// W2: after the overlap one entry of each.
	k.PreviousUntil = at
	if got, _ := k.Sign(id, at, longBody(t)); strings.Count(got, " ") != 1 || !strings.HasPrefix(got, "v1,equ") {
		t.Errorf("after the overlap: %s", got)
	}
	if shown := fmt.Sprintf("%v %+v %#v", k, k, k); strings.Contains(shown, string(seed[:4])) || !strings.Contains(shown, "[redacted]") {
		t.Errorf("shown: %s", shown)
	}
	if _, err := (Keys{}).Sign(id, at, nil); err == nil {
		t.Error("no key signs")
	}
}

func TestParseSecret_RefusesWithoutRepeating(t *testing.T) {
	t.Parallel()
	encoded := func(n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xA7}, n)) }
	for name, s := range map[string]string{
		"no prefix": encoded(32), "other prefix": "whsk_" + encoded(32), "empty": "", "no base64": "whsec_!!" + encoded(32),
		"no padding": strings.TrimRight("whsec_"+encoded(32), "="), "short": "whsec_" + encoded(23), "long": "whsec_" + encoded(65),
		"nothing": "whsec_",
	} {
		_, err := ParseSecret(s)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(s) > 12 && strings.Contains(err.Error(), s[6:]) {
			t.Errorf("%s: the error shows the value: %v", name, err)
		}
	}
	for _, n := range []int{24, 32, 64} {
		if _, err := ParseSecret("whsec_" + encoded(n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// No output may hold the key: as text, as base64, as hex, as numbers.
func TestSecret_IsNeverShown(t *testing.T) {
	t.Parallel()
	key := []byte("canary-canary-canary-canary-0123")
	s := secret(t, "whsec_"+base64.StdEncoding.EncodeToString(key))
	type inside struct {
		Public Secret
		hidden Secret
	}
	holders := []any{s, &s, inside{s, s}, &inside{s, s}, []Secret{s}, map[string]Secret{"k": s},
		Keys{Secret: s}, Subscription{Signer: Keys{Secret: s, PreviousSecret: s}}, &lane{sub: Subscription{Signer: Keys{Secret: s}}}}
	var out bytes.Buffer
	text := slog.New(slog.NewTextHandler(&out, nil))
	doc := slog.New(slog.NewJSONHandler(&out, nil))
	for _, h := range holders {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", h)
		}
		text.Info("shown", "secret", h)
		doc.Info("shown", "secret", h)
		if b, err := json.Marshal(h); err == nil {
			out.Write(b)
		}
	}
	if b, err := yaml.Marshal(map[string]any{"a": s, "b": []Secret{s}}); err != nil {
		t.Error(err)
	} else {
		out.Write(b)
	}
	shown := out.String()
	for _, canary := range []string{"canary", base64.StdEncoding.EncodeToString(key)[:20], hex.EncodeToString(key)[:20],
		strings.ToUpper(hex.EncodeToString(key)[:20]), strings.Trim(fmt.Sprint(key[:6]), "[]"), "0x63, 0x61, 0x6e"} { //nolint:staticcheck // the bytes as fmt prints them are the point
		if strings.Contains(shown, canary) {
			t.Errorf("output holds %q", canary)
		}
	}
	if !strings.Contains(shown, "[redacted]") {
		t.Error("nothing says that something is hidden")
	}
}
