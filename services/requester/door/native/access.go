package native

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/access"
)

// permissionKey is where an operation says what a caller has to hold; the document shows it. Operations of a project
// without one need nothing but to be let into it; those of no project show nobody's data and are open.
const permissionKey = "x-backupbus-permission"

// needs is the permission to do something to a kind of resource.
func needs(permission string) map[string]any {
	return map[string]any{permissionKey: "backupbus." + permission}
}

// Permissions are the names of all that this API asks for, the notifier's part included.
func Permissions() (out []string) {
	for _, item := range New(nil, nil, nil, nil, nil, nil, nil, Config{}).api.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			if p, ok := op.Extensions[permissionKey].(string); ok {
				out = append(out, p)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// commandPermission is that of what a command asks for, whichever way it comes.
func commandPermission(verb events.Verb) string { return "backupbus.backups." + string(verb) }

// admit stands before every operation: it finds out who asks, and whether they may, before anything of the request is
// read. A token in the query is refused, as it is none there (events.md 6.2).
func (d *Door) admit(hc huma.Context, next func(huma.Context)) {
	who, err := d.ring.Bearer(access.FromHeader(hc.Header("Authorization")), d.now())
	project := hc.Param("project")
	permission, _ := hc.Operation().Extensions[permissionKey].(string)
	p := refusalOf(who, err, project, permission)
	if p == nil || project == "" { // operations of no project are open
		next(huma.WithContext(hc, access.With(hc.Context(), who)))
		return
	}
	if p.Status == http.StatusUnauthorized {
		hc.SetHeader("WWW-Authenticate", "Bearer")
	}
	hc.SetHeader("Content-Type", p.ContentType(""))
	hc.SetStatus(p.Status)
	_ = json.NewEncoder(hc.BodyWriter()).Encode(p) // a client that has gone cannot be told
}

func unauthenticated(err error) *problem {
	p := &problem{Title: http.StatusText(http.StatusUnauthorized), Status: http.StatusUnauthorized, Reason: "UNAUTHENTICATED"}
	var expired *access.ExpiredError
	switch {
	case errors.Is(err, access.ErrMissing):
		p.Detail = "send a token as Authorization: Bearer"
	case errors.As(err, &expired):
		p.Detail = err.Error() + ": ask for another one"
	default:
		p.Detail = "the token is not known here"
	}
	return p
}

func denied(detail string) *problem {
	return &problem{Title: http.StatusText(http.StatusForbidden), Status: http.StatusForbidden, Reason: "PERMISSION_DENIED", Detail: detail}
}

// AdmitSubscriptions stands before the notifier's part of the API, which answers for itself: a notifier whose settings
// grant nothing must not open what the doors have closed.
func AdmitSubscriptions(ring *access.Ring, now func() time.Time, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		project, permission := subscriptionPermission(r.Method, r.URL.EscapedPath())
		who, err := ring.Bearer(access.FromHeader(r.Header.Get("Authorization")), now())
		p := refusalOf(who, err, project, permission)
		if p == nil {
			next.ServeHTTP(w, r)
			return
		}
		if p.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		w.Header().Set("Content-Type", p.ContentType(""))
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p) // a client that has gone cannot be told
	})
}

// refusalOf who may not do that, nil for who may; an empty permission needs the project alone.
func refusalOf(who access.Caller, err error, project, permission string) *problem {
	switch {
	case err != nil:
		return unauthenticated(err)
	case !who.In(project):
		return denied("you may not speak for this project")
	case permission != "" && !who.Holds(permission):
		return denied("you do not hold " + permission)
	}
	return nil
}

// mayCommand tells whether who asks may do what a command says.
func mayCommand(ctx context.Context, verb events.Verb) error {
	if permission := commandPermission(verb); !access.From(ctx).Holds(permission) {
		return denied("you do not hold " + permission)
	}
	return nil
}
