package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// enableEvery is how often a user may enable a subscription (events.md 7.1).
const enableEvery = 5 * time.Minute

func (a *API) create(w http.ResponseWriter, r *http.Request, c call) error {
	b, err := body(w, r, false)
	if err != nil {
		return err
	}
	var s spec
	if err := decode(b, &s); err != nil {
		return err
	}
	d := subscription.Document{ID: events.NewSubscriptionID(), Project: c.project, SecretGeneration: 1, Secret: subscription.NewSecret()}
	if err := a.fill(&d, s); err != nil {
		return err
	}
	if err := a.room(d, a.store.List(c.project)); err != nil { // before the sink is asked, which takes long
		return err
	}
	if d.Spec.Disabled {
		d.Reason = delivery.ByAdmin
	} else if err := a.backend.Ask(r.Context(), &d); err != nil {
		return err
	}
	if d, err = a.store.Create(r.Context(), d, a.room); err != nil {
		return err
	}
	out := show(d, delivery.Health{}, a.now())
	if slices.Contains(d.Spec.Settings.Signing, subscription.SchemeV1) { // an e-mail is not signed
		out.SigningSecret = d.Secret
	}
	w.Header().Set("Location", "/api/v1/projects/"+escape(c.project)+"/subscriptions/"+d.ID)
	a.one(w, http.StatusCreated, out)
	return nil
}

// fill puts what was asked for into a document, if nothing is wrong with it.
func (a *API) fill(d *subscription.Document, s spec) error {
	d.Spec, d.SinkURL = s.spec(), s.Sink
	violations := d.Spec.Violations()
	origin, err := a.backend.Judge(s.Sink)
	if err != nil {
		violations = append(violations, subscription.Violation{Path: "/sink", Message: err.Error()})
	}
	for name, v := range s.Settings.Headers {
		if v == masked {
			violations = append(violations, subscription.Violation{Path: "/protocolsettings/headers/" + name, Message: "is a mask: send the value"})
		}
	}
	if len(violations) > 0 {
		return invalid("the subscription cannot be used as it is", violations...)
	}
	d.Origin = origin
	d.EnsurePair()
	return nil
}

// room refuses one subscription too many, and a name that another one has.
func (a *API) room(d subscription.Document, have []subscription.Document) error {
	isNew := !slices.ContainsFunc(have, func(o subscription.Document) bool { return o.ID == d.ID })
	if isNew && len(have) >= a.most {
		return conflict("QUOTA_EXCEEDED", "the project has "+strconv.Itoa(len(have))+" subscriptions, which is the most: delete one")
	}
	for _, o := range have {
		if o.ID != d.ID && o.Spec.Config.Name == d.Spec.Config.Name && d.Spec.Config.Name != "" {
			return conflict("NAME_TAKEN", "another subscription of the project has that config.name: change that one, or choose another name")
		}
	}
	return nil
}

func (a *API) one(w http.ResponseWriter, status int, s shown) {
	w.Header().Set("ETag", `"`+strconv.Itoa(s.Generation)+`"`)
	answer(w, status, "application/json", s)
}

func (a *API) get(w http.ResponseWriter, r *http.Request, c call) error {
	d, err := a.store.Get(r.Context(), c.project, c.id)
	if err != nil {
		return err
	}
	return a.read(w, r.Context(), d)
}

func (a *API) read(w http.ResponseWriter, ctx context.Context, d subscription.Document) error { //nolint:revive // the answer comes first, as in net/http
	h, err := a.backend.Health(ctx, d.ID)
	if err != nil {
		return err
	}
	a.one(w, http.StatusOK, show(d, h, a.now()))
	return nil
}

func (a *API) list(w http.ResponseWriter, r *http.Request, c call) error {
	q := r.URL.Query()
	limit, err := limitOf(q.Get("limit"), 100, 1000)
	if err != nil {
		return err
	}
	after, err := base64.RawURLEncoding.DecodeString(q.Get("cursor"))
	if err != nil {
		return invalid("cursor is not one of this list")
	}
	want := strings.ToUpper(q.Get("status"))
	if !slices.Contains([]string{"", subscription.Active, subscription.Unverified, subscription.IsFailing, subscription.IsDisabled}, want) {
		return invalid("status has to be ACTIVE, UNVERIFIED, FAILING or DISABLED")
	}
	var out struct {
		Subscriptions []shown `json:"subscriptions"`
		NextCursor    string  `json:"nextCursor,omitempty"`
	}
	out.Subscriptions = []shown{}
	for _, d := range a.store.List(c.project) {
		if key := place(d); key <= string(after) {
			continue
		}
		h, err := a.backend.Health(r.Context(), d.ID)
		if err != nil {
			return err
		}
		if want != "" && d.State(h) != want {
			continue
		}
		if len(out.Subscriptions) == limit {
			break
		}
		out.Subscriptions = append(out.Subscriptions, show(d, h, a.now()))
		out.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(place(d)))
	}
	if len(out.Subscriptions) < limit {
		out.NextCursor = ""
	}
	answer(w, http.StatusOK, "application/json", out)
	return nil
}

// place is where a subscription stands in lists.
func place(d subscription.Document) string {
	return d.CreateTime.UTC().Format("20060102150405.000000000") + d.ID
}

func limitOf(text string, otherwise, most int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, invalid("limit has to be 1 to " + strconv.Itoa(most))
	}
	return n, nil
}

// wanted is the generation of If-Match; 0 for any.
func wanted(r *http.Request) (int, error) {
	tag := r.Header.Get("If-Match")
	if tag == "" || tag == "*" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.Trim(tag, `"`))
	if err != nil || n < 1 || tag != `"`+strconv.Itoa(n)+`"` {
		return 0, subscription.ErrChanged // no tag of ours: it cannot match
	}
	return n, nil
}

func (a *API) patch(w http.ResponseWriter, r *http.Request, c call) error {
	b, err := body(w, r, false)
	if err != nil {
		return err
	}
	generation, err := wanted(r)
	if err != nil {
		return err
	}
	before, err := a.store.Get(r.Context(), c.project, c.id)
	if err != nil {
		return err
	}
	if generation != 0 && before.Generation != generation {
		return subscription.ErrChanged
	}
	next, fields, err := a.amended(r.Context(), before, b)
	if err != nil {
		return err
	}
	if len(fields) == 0 {
		return a.read(w, r.Context(), before)
	}
	step := events.Updated
	if next.Spec.Disabled && !before.Spec.Disabled {
		step = events.Disabled
	}
	// What was asked of the sink was asked for this generation: another change in between means again.
	d, err := a.store.ChangeWithin(r.Context(), a.room, c.project, c.id, before.Generation, step, func(d *subscription.Document) ([]string, error) {
		kept := *d
		*d = next
		d.Generation, d.CreateTime = kept.Generation, kept.CreateTime
		if next.Target == kept.Target { // the sink was not asked for this change, perhaps for another meanwhile
			d.Asked, d.Permitted, d.AllowedBy = kept.Asked, kept.Permitted, kept.AllowedBy
		}
		return fields, nil
	})
	if err != nil {
		if generation == 0 && strings.Contains(err.Error(), subscription.ErrChanged.Error()) {
			return conflict("CHANGED", "the subscription changed at the same moment: try again")
		}
		return err
	}
	return a.read(w, r.Context(), d)
}

// amended is the document after a merge patch, and the paths that changed. The sink that it asks is sent the headers of
// that document.
func (a *API) amended(ctx context.Context, before subscription.Document, patch []byte) (subscription.Document, []string, error) {
	s, err := a.patched(before, patch)
	if err != nil {
		return before, nil, err
	}
	next := before
	if err := a.fill(&next, s); err != nil {
		return before, nil, err
	}
	if err := a.room(next, a.store.List(before.Project)); err != nil {
		return before, nil, err
	}
	fields := changes(before, next)
	enabled := before.Spec.Disabled && !next.Spec.Disabled
	if enabled {
		if wait := enableEvery - a.now().Sub(before.EnabledTime); wait > 0 {
			return before, nil, tooMany("a subscription can be enabled once in 5 minutes", wait)
		}
		next.EnabledTime, next.Reason, next.FailingSince = a.now(), "", time.Time{}
	}
	if next.Spec.Disabled && !before.Spec.Disabled {
		next.Reason = delivery.ByAdmin
	}
	if enabled || next.SinkURL != before.SinkURL {
		next.Target = before.Generation + 1
		if !next.Spec.Disabled {
			if err := a.backend.Ask(ctx, &next); err != nil {
				return before, nil, err
			}
		}
	}
	return next, fields, nil
}

// changes are the paths in which two documents differ, without values.
func changes(a, b subscription.Document) []string {
	var out []string
	for _, f := range []struct {
		path   string
		before any
		after  any
	}{
		{"sink", a.SinkURL, b.SinkURL}, {"types", a.Spec.Types, b.Spec.Types}, {"filters", a.Spec.Filters, b.Spec.Filters},
		{"config", a.Spec.Config, b.Spec.Config}, {"protocolsettings", a.Spec.Settings, b.Spec.Settings},
		{"protocolsettings.headers", a.Spec.Settings.Headers, b.Spec.Settings.Headers}, {"disabled", a.Spec.Disabled, b.Spec.Disabled},
	} {
		before, _ := json.Marshal(f.before)
		after, _ := json.Marshal(f.after)
		if string(before) != string(after) {
			out = append(out, f.path)
		}
	}
	return out
}

func (a *API) delete(w http.ResponseWriter, r *http.Request, c call) error {
	generation, err := wanted(r)
	if err != nil {
		return err
	}
	if _, err := a.store.Delete(r.Context(), c.project, c.id, generation); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
