package native

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

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
	permission, named := hc.Operation().Extensions[permissionKey].(string)
	var p *problem
	switch {
	case project == "": // of no project
	case err != nil:
		p = unauthenticated(err)
		hc.SetHeader("WWW-Authenticate", "Bearer")
	case !who.In(project):
		p = denied("you may not speak for this project")
	case named && !who.Holds(permission):
		p = denied("you do not hold " + permission)
	}
	if p == nil {
		next(huma.WithContext(hc, access.With(hc.Context(), who)))
		return
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

// mayCommand tells whether who asks may do what a command says.
func mayCommand(ctx context.Context, verb events.Verb) error {
	if permission := commandPermission(verb); !access.From(ctx).Holds(permission) {
		return denied("you do not hold " + permission)
	}
	return nil
}
