package access

import (
	"errors"
	"net/http"
	"time"
)

// Denied is why somebody is not let in, in the words of our own API (events.md 5.5). Doors that speak a cloud's have
// their own.
type Denied struct {
	Status int    // 401 or 403
	Reason string // UNAUTHENTICATED or PERMISSION_DENIED
	Detail string // what to do, or what is missing
}

// Admit finds out who asks, by an Authorization header, and whether they may do something in a project: nil if so. An
// empty permission asks for the project alone.
func (r *Ring) Admit(authorization, project, permission string, now time.Time) (Caller, *Denied) {
	who, err := r.Bearer(FromHeader(authorization), now)
	if err == nil && !who.In(project) {
		return who, &Denied{http.StatusForbidden, "PERMISSION_DENIED", "you may not speak for this project"}
	}
	if err == nil && permission != "" {
		return who, who.Lacks(permission)
	}
	if err == nil {
		return who, nil
	}
	d := &Denied{http.StatusUnauthorized, "UNAUTHENTICATED", "the token is not known here: ask for another one"}
	var expired *ExpiredError
	if errors.Is(err, ErrMissing) {
		d.Detail = "send a token as Authorization: Bearer"
	} else if errors.As(err, &expired) {
		d.Detail = err.Error() + ": ask for another one"
	}
	return who, d
}

// Lacks is nil for who holds a permission.
func (c Caller) Lacks(permission string) *Denied {
	if c.Holds(permission) {
		return nil
	}
	return &Denied{http.StatusForbidden, "PERMISSION_DENIED", "you do not hold " + permission}
}
