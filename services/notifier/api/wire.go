package api

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/mergepatch"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// spec is what a request may say of a subscription: subscription.Spec with a sink that encodes its query, as the
// type that everybody else has hides it.
type spec struct {
	Sink     string `json:"sink"`
	Protocol string `json:"protocol"`
	subscription.Interest
	Config   subscription.Config   `json:"config,omitzero"`
	Settings subscription.Settings `json:"protocolsettings,omitzero"`
	Disabled bool                  `json:"disabled,omitempty"`
}

func (s spec) spec() subscription.Spec {
	return subscription.Spec{Sink: subscription.URL(s.Sink), Protocol: s.Protocol, Interest: s.Interest, Config: s.Config,
		Settings: s.Settings, Disabled: s.Disabled}.WithDefaults()
}

// shown is a subscription as users read it: no secret, no value of a header, no query of a sink.
type shown struct {
	ID         string      `json:"id"`
	Project    string      `json:"project"`
	CreateTime events.Time `json:"createTime"`
	UpdateTime events.Time `json:"updateTime"`
	Generation int         `json:"generation"`
	spec
	Status        status   `json:"status"`
	SigningSecret string   `json:"signingSecret,omitempty"` // in the answer to its making only
	PublicKeys    []string `json:"publicKeys,omitempty"`    // likewise
}

type status struct {
	State                string      `json:"state"`
	Reason               string      `json:"reason,omitempty"`
	Circuit              string      `json:"circuit"`
	AllowedRatePerMinute int         `json:"allowedRatePerMinute"`
	LastSuccessTime      events.Time `json:"lastSuccessTime,omitzero"`
	PausedUntilTime      events.Time `json:"pausedUntilTime,omitzero"`
	ConsecutiveFailures  int         `json:"consecutiveFailures"`
	PendingDeliveries    int         `json:"pendingDeliveries"`
	OldestPendingTime    events.Time `json:"oldestPendingTime,omitzero"`
	FilterErrors         int         `json:"filterErrors"`
	LastFilterError      string      `json:"lastFilterError,omitempty"`
	SecretGeneration     int         `json:"secretGeneration"`
	PreviousSecretExpire events.Time `json:"previousSecretExpireTime,omitzero"`
	PublicKeys           []string    `json:"publicKeys,omitempty"`
}

// masked stands for a value that is never shown; sent back in a change, it leaves the value as it is.
const masked = events.Redacted

func show(d subscription.Document, h delivery.Health, now time.Time) shown {
	s := d.Spec
	out := shown{ID: d.ID, Project: d.Project, CreateTime: events.At(d.CreateTime), UpdateTime: events.At(d.UpdateTime), Generation: d.Generation,
		spec: spec{Sink: subscription.URL(d.SinkURL).String(), Protocol: s.Protocol, Interest: s.Interest, Config: s.Config, Settings: s.Settings, Disabled: s.Disabled}}
	if len(s.Settings.Headers) > 0 {
		out.Settings.Headers = map[string]string{}
		for name := range s.Settings.Headers {
			out.Settings.Headers[name] = masked
		}
	}
	rate := d.Rate()
	if !d.Permitted {
		rate = min(rate, 6)
	}
	out.Status = status{State: d.State(h), Reason: d.Reason, Circuit: "CLOSED", AllowedRatePerMinute: rate, ConsecutiveFailures: h.Failures,
		PendingDeliveries: h.Pending, FilterErrors: h.FilterErrors, LastFilterError: h.LastFilterError, SecretGeneration: d.SecretGeneration,
		PublicKeys: d.PublicKeys(now), LastSuccessTime: known0(h.LastSuccess), OldestPendingTime: known0(h.OldestPending)}
	if !d.Spec.Disabled && h.ToldFailing {
		out.Status.Reason = delivery.Failing
	}
	if h.OpenFor > 0 {
		out.Status.Circuit = "OPEN"
	}
	if h.PausedUntil.After(now) {
		out.Status.PausedUntilTime = events.At(h.PausedUntil)
	}
	if d.PreviousUntil.After(now) {
		out.Status.PreviousSecretExpire = events.At(d.PreviousUntil)
	}
	return out
}

// known0 keeps a zero time zero, so that it is left out.
func known0(t time.Time) events.Time {
	if t.IsZero() {
		return events.Time{}
	}
	return events.At(t)
}

// patched is what a merge patch makes of a document: what is masked in the patch stays. With another protocol, the
// settings that depend on it and that the patch does not name are the defaults. A sink at another origin gets no header
// but those that the patch gives with their values: the others are credentials of the sink before.
func (a *API) patched(d subscription.Document, patch []byte) (spec, error) {
	s := d.Spec
	now := spec{Sink: d.SinkURL, Protocol: s.Protocol, Interest: s.Interest, Config: s.Config, Settings: s.Settings, Disabled: s.Disabled}
	if err := decode(patch, new(patchable)); err != nil {
		return now, err
	}
	doc, err := json.Marshal(now)
	if err != nil {
		return now, err
	}
	var target, change map[string]any
	if err := json.Unmarshal(doc, &target); err != nil {
		return now, err
	}
	if err := json.Unmarshal(patch, &change); err != nil {
		return now, err
	}
	unmaskSink(change, d)
	settings, _ := target["protocolsettings"].(map[string]any)
	if to, ok := change["sink"].(string); ok && a.elsewhere(d, to) {
		delete(settings, "headers")
	} else {
		unmaskHeaders(change, d)
	}
	if to, ok := change["protocol"].(string); ok && to != s.Protocol {
		named, _ := change["protocolsettings"].(map[string]any)
		for _, field := range []string{"format", "signing", "contentMode", "headers"} { // they were said of the other protocol
			if _, said := named[field]; !said {
				delete(settings, field)
			}
		}
	}
	if doc, err = json.Marshal(target); err != nil {
		return now, err
	}
	if patch, err = json.Marshal(change); err != nil {
		return now, err
	}
	if doc, err = mergepatch.Merge(doc, patch); err != nil {
		return now, err
	}
	var out spec
	return out, decode(doc, &out)
}

// patchable is a spec of which every member may be null. Its filters are looked at when they are merged.
type patchable struct {
	Sink     any `json:"sink"`
	Protocol any `json:"protocol"`
	Types    any `json:"types"`
	Filters  any `json:"filters"`
	Config   any `json:"config"`
	Settings any `json:"protocolsettings"`
	Disabled any `json:"disabled"`
}

// elsewhere tells whether a sink is at another origin than that of a document.
func (a *API) elsewhere(d subscription.Document, sink string) bool {
	origin, err := a.backend.Judge(sink)
	return err != nil || origin != d.Origin
}

func unmaskSink(change map[string]any, d subscription.Document) {
	if v, ok := change["sink"].(string); ok && v == subscription.URL(d.SinkURL).String() && strings.HasSuffix(v, "?…") {
		delete(change, "sink")
	}
}

func unmaskHeaders(change map[string]any, d subscription.Document) {
	settings, _ := change["protocolsettings"].(map[string]any)
	headers, _ := settings["headers"].(map[string]any)
	for name, v := range headers {
		if _, there := d.Spec.Settings.Headers[name]; there && v == masked {
			delete(headers, name)
		}
	}
}
