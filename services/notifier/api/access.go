package api

import (
	"errors"
	"net/http"

	"github.com/backupbus/backupbus/services/access"
)

// admit refuses who is not known, and who may not do that, as the native door does: the requester forwards requests as
// they came.
func (a *API) admit(w http.ResponseWriter, r *http.Request, permission, project string) error {
	who, err := a.ring.Bearer(access.FromHeader(r.Header.Get("Authorization")), a.now())
	var expired *access.ExpiredError
	switch {
	case errors.Is(err, access.ErrMissing):
		err = unauthenticated("send a token as Authorization: Bearer")
	case errors.As(err, &expired):
		err = unauthenticated(err.Error() + ": ask for another one")
	case err != nil:
		err = unauthenticated("the token is not known here")
	case !who.In(project):
		return denied("you may not speak for this project")
	case !who.Holds(permission):
		return denied("you do not hold " + permission)
	default:
		return nil
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	return err
}

func unauthenticated(detail string) *problem {
	return &problem{Status: http.StatusUnauthorized, Reason: "UNAUTHENTICATED", Detail: detail}
}

func denied(detail string) *problem {
	return &problem{Status: http.StatusForbidden, Reason: "PERMISSION_DENIED", Detail: detail}
}
