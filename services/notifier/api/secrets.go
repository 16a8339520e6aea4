package api

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

const (
	defaultOverlap = 24 * time.Hour
	maxOverlap     = 7 * 24 * time.Hour
)

// rotate makes a new secret; during the overlap the one before signs too (events.md 7.5).
func (a *API) rotate(w http.ResponseWriter, r *http.Request, c call) error {
	b, err := body(w, r, true)
	if err != nil {
		return err
	}
	var in struct {
		OverlapSeconds *int64 `json:"overlapSeconds"`
		Scheme         string `json:"scheme"`
		Secret         string `json:"secret"`
	}
	if err := decode(b, &in); err != nil {
		return err
	}
	overlap := defaultOverlap
	if in.OverlapSeconds != nil {
		overlap = time.Duration(*in.OverlapSeconds) * time.Second
		if *in.OverlapSeconds < 0 || *in.OverlapSeconds > int64(maxOverlap/time.Second) {
			return invalid("the overlap is not allowed", subscription.Violation{Path: "/overlapSeconds", Message: "has to be 0 to 604800"})
		}
	}
	if in.Scheme == "" {
		in.Scheme = subscription.SchemeV1
	}
	switch {
	case in.Scheme != subscription.SchemeV1 && in.Scheme != subscription.SchemeV1a:
		return invalid("there is no such scheme", subscription.Violation{Path: "/scheme", Message: "has to be v1 or v1a"})
	case in.Secret != "" && in.Scheme != subscription.SchemeV1:
		return invalid("a key pair is never imported", subscription.Violation{Path: "/secret", Message: "is for scheme v1 only"})
	case in.Secret != "":
		if _, err := delivery.ParseSecret(in.Secret); err != nil {
			return invalid("the secret cannot be used", subscription.Violation{Path: "/secret", Message: err.Error()})
		}
	}
	generation, err := wanted(r)
	if err != nil {
		return err
	}
	d, err := a.store.Change(r.Context(), c.project, c.id, generation, events.Updated, func(d *subscription.Document) ([]string, error) {
		now := a.now()
		if d.PreviousUntil.After(now) {
			return nil, conflict("OVERLAP", "the secret before still signs: wait until its overlap ends")
		}
		if !slices.Contains(d.Spec.Settings.Signing, in.Scheme) {
			return nil, conflict("NOT_SIGNING", "the subscription does not sign with that scheme: add it to protocolsettings.signing")
		}
		d.PreviousSecret, d.PreviousSeed, d.PreviousUntil = "", nil, now.Add(overlap)
		if in.Scheme == subscription.SchemeV1 {
			d.PreviousSecret, d.Secret = d.Secret, in.Secret
			if in.Secret == "" {
				d.Secret = subscription.NewSecret()
			}
		} else {
			d.PreviousSeed, d.Seed = d.Seed, subscription.NewSeed()
		}
		if overlap == 0 {
			d.PreviousSecret, d.PreviousSeed, d.PreviousUntil = "", nil, time.Time{}
		}
		d.SecretGeneration++
		return []string{"secret"}, nil
	})
	if err != nil {
		return err
	}
	out := struct {
		SigningSecret            string      `json:"signingSecret,omitempty"`
		PublicKeys               []string    `json:"publicKeys,omitempty"`
		SecretGeneration         int         `json:"secretGeneration"`
		PreviousSecretExpireTime events.Time `json:"previousSecretExpireTime,omitzero"`
	}{SecretGeneration: d.SecretGeneration, PreviousSecretExpireTime: known0(d.PreviousUntil)}
	if in.Scheme == subscription.SchemeV1 {
		out.SigningSecret = d.Secret
	} else {
		out.PublicKeys = d.PublicKeys(a.now())
	}
	answer(w, http.StatusOK, "application/json", out)
	return nil
}

func escape(segment string) string { return url.PathEscape(segment) }
