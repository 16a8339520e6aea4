package api

import "net/http"

// admit refuses who is not known, and who may not do that, as the native door does: the requester forwards requests as
// they came.
func (a *API) admit(w http.ResponseWriter, r *http.Request, permission, project string) error {
	_, denied := a.ring.Admit(r.Header.Get("Authorization"), project, permission, a.now())
	if denied == nil {
		return nil
	}
	if denied.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	return &problem{Status: denied.Status, Reason: denied.Reason, Detail: denied.Detail}
}
