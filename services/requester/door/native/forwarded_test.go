package native

import (
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// What the requester asks for before it forwards is what the document says of each method of the notifier's.
func TestSubscriptionPermission_IsTheDocuments(t *testing.T) {
	t.Parallel()
	seen := 0
	fill := strings.NewReplacer("{project}", "caf%C3%A9", "{subscription}", "su_x")
	for path, item := range New(nil, nil, nil, nil, nil, nil, nil, Config{}).api.Paths {
		for method, op := range map[string]*huma.Operation{http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete} {
			if op == nil || op.Tags[0] != "subscriptions" {
				continue
			}
			seen++
			project, permission := subscriptionPermission(method, "/api"+fill.Replace(path))
			if project != "caf\u00e9" || permission != op.Extensions[permissionKey] || permission == "" {
				t.Errorf("%s %s: %q, %q", method, path, project, permission)
			}
		}
	}
	if seen != 9 {
		t.Errorf("%d methods", seen)
	}
	for _, unknown := range []string{"/api/v1/projects/p/subscriptions/su_x:fly", "/api/v1/projects/p/subscriptions/a/b/c"} {
		if project, permission := subscriptionPermission(http.MethodPost, unknown); project != "p" || permission != "" {
			t.Errorf("%s: %q, %q", unknown, project, permission)
		}
	}
}
