package subscription

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/notifier/delivery"
)

// Document is all that is kept of a subscription, its secrets included. It prints and encodes as its id: only
// the Sealer writes it.
type Document struct {
	ID, Project string // Project is the raw name
	Spec        Spec
	SinkURL     string // the sink with its query, which Spec.Sink does not encode
	Origin      string // scheme, host and port of the sink

	Generation    int // of the change that follows, and of its event
	Step          events.Step
	ChangedFields []string
	CreateTime    time.Time
	UpdateTime    time.Time
	EnabledTime   time.Time // of the last enabling
	Reason        string    // why it is disabled: ADMIN, GONE, FAILING
	FailingSince  time.Time // of which subscription.failing has been told
	LastSuccess   time.Time // as far as known with the last event

	Target int // generation of the last enabling or change of the sink; 0: neither

	SecretGeneration int
	Secret           string // whsec_…
	PreviousSecret   string
	Seed             []byte // of the Ed25519 pair, if it signs with v1a
	PreviousSeed     []byte
	PreviousUntil    time.Time

	Asked     time.Time // for permission; zero: never
	Permitted bool
	AllowedBy int // the sink's rate a minute; 0: any
}

// String is the id.
func (d Document) String() string { return "subscription " + d.ID }

// GoString is the id.
func (d Document) GoString() string { return d.String() }

// Format writes the id whatever the verb.
func (d Document) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(d.String())) }

// LogValue is the id.
func (d Document) LogValue() slog.Value { return slog.StringValue(d.ID) }

// MarshalJSON refuses.
func (d Document) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a subscription is sealed, not encoded")
}

// States of events.md 7.1.
const (
	Active     = "ACTIVE"
	Unverified = "UNVERIFIED"
	IsFailing  = "FAILING"
	IsDisabled = "DISABLED"
)

// State is the word that users see.
func (d Document) State(h delivery.Health) string {
	switch {
	case d.Spec.Disabled:
		return IsDisabled
	case h.ToldFailing:
		return IsFailing
	case !d.Permitted:
		return Unverified
	}
	return Active
}

// Rate is how many requests a minute are allowed now.
func (d Document) Rate() int {
	rate := d.Spec.Settings.RatePerMinute
	if d.AllowedBy > 0 {
		rate = min(rate, d.AllowedBy)
	}
	return rate
}

// public is what the event tells.
func (d Document) public() events.Subscription {
	out := events.Subscription{Project: d.Project, SubscriptionID: d.ID, Generation: d.Generation, Status: d.State(delivery.Health{}),
		SecretGeneration: d.SecretGeneration, SinkOrigin: d.Origin}
	switch d.Step {
	case events.Updated:
		out.ChangedFields = d.ChangedFields
	case events.Failing:
		out.Status, out.Reason, out.FirstFailureTime = IsFailing, delivery.Failing, events.At(d.FailingSince)
	case events.Disabled:
		out.Reason = d.Reason
		if !d.FailingSince.IsZero() {
			out.FirstFailureTime = events.At(d.FailingSince)
		}
	}
	if !d.LastSuccess.IsZero() {
		out.LastSuccessTime = events.At(d.LastSuccess)
	}
	if !d.PreviousUntil.IsZero() {
		out.PreviousSecretExpireTime = events.At(d.PreviousUntil)
	}
	return out
}

// Keys are what it signs with.
func (d Document) Keys() (delivery.Keys, error) {
	var k delivery.Keys
	var err error
	k.PreviousUntil = d.PreviousUntil
	if slices.Contains(d.Spec.Settings.Signing, SchemeV1) {
		if k.Secret, err = delivery.ParseSecret(d.Secret); err != nil {
			return k, err
		}
		if d.PreviousSecret != "" {
			if k.PreviousSecret, err = delivery.ParseSecret(d.PreviousSecret); err != nil {
				return k, err
			}
		}
	}
	if slices.Contains(d.Spec.Settings.Signing, SchemeV1a) {
		if k.Pair, err = delivery.NewKeyPair(d.Seed); err != nil {
			return k, err
		}
		if len(d.PreviousSeed) > 0 {
			k.PreviousPair, err = delivery.NewKeyPair(d.PreviousSeed)
		}
	}
	return k, err
}

// PublicKeys are `whpk_…` of the pairs that sign, the current one first.
func (d Document) PublicKeys(now time.Time) []string {
	k, err := d.Keys()
	if err != nil || k.Pair.Public() == "" {
		return nil
	}
	out := []string{k.Pair.Public()}
	if p := k.PreviousPair.Public(); p != "" && now.Before(d.PreviousUntil) {
		out = append(out, p)
	}
	return out
}

// EnsurePair makes the pair of v1a where it is missing.
func (d *Document) EnsurePair() {
	if slices.Contains(d.Spec.Settings.Signing, SchemeV1a) && len(d.Seed) == 0 {
		d.Seed = random(32)
	}
}

// NewSecret is a fresh signing secret (events.md 7.5).
func NewSecret() string { return "whsec_" + base64.StdEncoding.EncodeToString(random(32)) }

// NewSeed is that of a fresh pair.
func NewSeed() []byte { return random(32) }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}
