package delivery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Secret is a subscription's signing key. It signs and does nothing else: no way of printing, logging or
// encoding it shows the key, also inside another struct.
type Secret struct {
	mac func(head string, body []byte) []byte // the key is in the closure, where reflection does not reach
}

const (
	secretPrefix         = "whsec_"
	minSecret, maxSecret = 24, 64
	secretForm           = "whsec_ and the base64 of 24 to 64 random bytes"
	secretRecipe         = "make one with: echo whsec_$(openssl rand -base64 32)"
	signatureVersion     = "v1,"
	maskedSecret         = events.Redacted
	unusableSecret       = "no secret"
)

// ParseSecret reads `whsec_…` (events.md 7.5). The error says what is wrong and never holds the value.
func ParseSecret(s string) (Secret, error) {
	encoded, ok := strings.CutPrefix(s, secretPrefix)
	if !ok {
		return Secret{}, errors.New("does not start with whsec_: it has to be " + secretForm + "; " + secretRecipe)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return Secret{}, errors.New("is not standard base64 with padding after whsec_; " + secretRecipe)
	}
	if len(key) < minSecret || len(key) > maxSecret {
		return Secret{}, fmt.Errorf("has %d bytes after decoding, not %d to %d; %s", len(key), minSecret, maxSecret, secretRecipe)
	}
	return Secret{func(head string, body []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(head))
		h.Write(body)
		return h.Sum(nil)
	}}, nil
}

// Sign returns the `v1` entry of webhook-signature over id, second and body (events.md 7.5).
func (s Secret) Sign(id string, at time.Time, body []byte) (string, error) {
	if s.mac == nil {
		return "", errors.New(unusableSecret)
	}
	return signatureVersion + base64.StdEncoding.EncodeToString(s.mac(head(id, at), body)), nil
}

// Unsigned is the Signer of endpoints whose messages carry no signature.
type Unsigned struct{}

// Sign implements Signer.
func (Unsigned) Sign(string, time.Time, []byte) (string, error) { return "", nil }

// head is what is signed before the body.
func head(id string, at time.Time) string { return id + "." + strconv.FormatInt(at.Unix(), 10) + "." }

// String hides the key.
func (Secret) String() string { return maskedSecret }

// GoString hides the key.
func (Secret) GoString() string { return maskedSecret }

// Format hides the key whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(maskedSecret)) }

// LogValue hides the key.
func (Secret) LogValue() slog.Value { return slog.StringValue(maskedSecret) }

// MarshalJSON hides the key.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + maskedSecret + `"`), nil }

// MarshalText hides the key from YAML and every other encoder.
func (Secret) MarshalText() ([]byte, error) { return []byte(maskedSecret), nil }
