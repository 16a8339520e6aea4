package native

import (
	"context"
	"encoding/json"
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
	project := hc.Param("project")
	permission, _ := hc.Operation().Extensions[permissionKey].(string)
	who, denied := d.ring.Admit(hc.Header("Authorization"), project, permission, d.now())
	if denied == nil || project == "" { // operations of no project are open
		next(huma.WithContext(hc, access.With(hc.Context(), who)))
		return
	}
	p := toProblem(denied)
	if p.Status == http.StatusUnauthorized {
		hc.SetHeader("WWW-Authenticate", "Bearer")
	}
	hc.SetHeader("Content-Type", p.ContentType(""))
	hc.SetStatus(p.Status)
	_ = json.NewEncoder(hc.BodyWriter()).Encode(p) // a client that has gone cannot be told
}

func toProblem(d *access.Denied) *problem {
	return &problem{Title: http.StatusText(d.Status), Status: d.Status, Reason: d.Reason, Detail: d.Detail}
}

// AdmitSubscriptions stands before the notifier's part of the API, which answers for itself: a notifier whose settings
// grant nothing must not open what the doors have closed.
func AdmitSubscriptions(ring *access.Ring, now func() time.Time, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		project, permission := subscriptionPermission(r.Method, r.URL.EscapedPath())
		_, denied := ring.Admit(r.Header.Get("Authorization"), project, permission, now())
		if denied == nil {
			next.ServeHTTP(w, r)
			return
		}
		if denied.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		toProblem(denied).write(w)
	})
}

// mayCommand tells whether who asks may do what a command says.
func mayCommand(ctx context.Context, verb events.Verb) error {
	if denied := access.From(ctx).Lacks(commandPermission(verb)); denied != nil {
		return toProblem(denied)
	}
	return nil
}
