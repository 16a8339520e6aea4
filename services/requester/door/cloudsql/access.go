package cloudsql

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/backupbus/backupbus/services/access"
)

// The refusals of cloudsql.md 3 of who gives no proof, or a wrong one. The text of the first is the platform's; it is not
// verified for this API.
var (
	errNoCredential = &apiError{code: http.StatusUnauthorized, reason: "required", status: "UNAUTHENTICATED",
		message: "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid authentication credential.", location: "Authorization"}
	errCredential = &apiError{code: http.StatusUnauthorized, reason: "authError", message: "Invalid Credentials", status: "UNAUTHENTICATED", location: "Authorization"}
)

// admit finds out who asks, and whether they may. Whether the instance is there is not told to who may not know it.
func (d *Door) admit(rt route, c *call) (err error) {
	token := access.FromHeader(c.Header.Get("Authorization"))
	if token == "" && c.Header.Get("Authorization") != "" && !d.ring.Anyone() {
		return errCredential // of another scheme
	}
	for _, name := range []string{"access_token", "oauth_token"} { // clients may send it so (cloudsql.md 3)
		if token == "" {
			token = c.URL.Query().Get(name)
		}
	}
	switch c.who, err = d.ring.Bearer(token, d.now()); {
	case errors.Is(err, access.ErrMissing):
		return errNoCredential
	case err != nil:
		return errCredential
	case !c.who.May(c.path["project"], rt.permission):
		return forbidden(rt.permission, c.path)
	}
	return nil
}

// forbidden is the newer form of the two (PD-11).
func forbidden(permission string, path map[string]string) *apiError {
	resource := "projects/" + path["project"]
	if instance, ok := path["instance"]; ok {
		resource = "instances/" + instance
	}
	return &apiError{code: http.StatusForbidden, reason: "forbidden",
		message: fmt.Sprintf("boss::NOT_AUTHORIZED: Not authorized to access resource. Possibly missing permission %s on resource %s.", permission, resource)}
}
