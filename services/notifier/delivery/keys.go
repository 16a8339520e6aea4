package delivery

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// KeyPair is a subscription's Ed25519 pair (events.md 7.5, v1a). Like Secret it signs and shows nothing.
type KeyPair struct {
	sign   func(content []byte) []byte
	public string
}

const (
	pairVersion  = "v1a,"
	publicPrefix = "whpk_"
)

// NewKeyPair makes a pair of its 32-byte seed.
func NewKeyPair(seed []byte) (KeyPair, error) {
	if len(seed) != ed25519.SeedSize {
		return KeyPair{}, fmt.Errorf("seed has %d bytes, not %d", len(seed), ed25519.SeedSize)
	}
	key := ed25519.NewKeyFromSeed(seed)
	public := publicPrefix + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	return KeyPair{func(content []byte) []byte { return ed25519.Sign(key, content) }, public}, nil
}

// Public is `whpk_…`; empty for the zero value.
func (k KeyPair) Public() string { return k.public }

// String hides the key.
func (KeyPair) String() string { return maskedSecret }

// GoString hides the key.
func (KeyPair) GoString() string { return maskedSecret }

// Format hides the key whatever the verb.
func (KeyPair) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(maskedSecret)) }

// LogValue hides the key.
func (KeyPair) LogValue() slog.Value { return slog.StringValue(maskedSecret) }

// MarshalText hides the key from every encoder.
func (KeyPair) MarshalText() ([]byte, error) { return []byte(maskedSecret), nil }

// Keys are what a subscription signs with. During an overlap the previous ones sign too.
type Keys struct {
	Secret, PreviousSecret Secret // v1; the zero value does not sign
	Pair, PreviousPair     KeyPair
	PreviousUntil          time.Time
}

var _ Signer = Keys{}

// Sign implements Signer: entries separated by one space, current v1, previous v1, current v1a, previous v1a.
func (k Keys) Sign(id string, at time.Time, body []byte) (string, error) {
	overlap := at.Before(k.PreviousUntil)
	var entries []string
	for _, s := range []struct {
		Secret
		use bool
	}{{k.Secret, true}, {k.PreviousSecret, overlap}} {
		if s.mac == nil || !s.use {
			continue
		}
		entry, err := s.Sign(id, at, body)
		if err != nil {
			return "", err
		}
		entries = append(entries, entry)
	}
	var content []byte // made if it is needed
	for _, p := range []struct {
		KeyPair
		use bool
	}{{k.Pair, true}, {k.PreviousPair, overlap}} {
		if p.sign != nil && p.use {
			if content == nil {
				content = append([]byte(head(id, at)), body...)
			}
			entries = append(entries, pairVersion+base64.StdEncoding.EncodeToString(p.sign(content)))
		}
	}
	if len(entries) == 0 {
		return "", errors.New(unusableSecret)
	}
	return strings.Join(entries, " "), nil
}
