package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"golang.org/x/text/unicode/norm"
)

// Caller is who asks. The zero Caller may do nothing.
type Caller struct {
	name    string
	anybody bool
	grant   *Grant
}

// Anybody is who asks where there is no grant: there is no name to tell, and nothing that is refused.
func Anybody() Caller { return Caller{anybody: true} }

// Name is an opaque reference to the caller, which events carry (events.md 2.1); empty for Anybody.
func (c Caller) Name() string { return c.name }

// In tells whether the caller may speak for a project at all, however its name is composed: as one and the same it is
// stored (events.md 1.3).
func (c Caller) In(project string) bool {
	return c.anybody || c.Everywhere() || c.grant != nil && slices.Contains(c.grant.Projects, norm.NFC.String(project))
}

// Everywhere tells whether the caller may speak for all projects.
func (c Caller) Everywhere() bool {
	return c.anybody || c.grant != nil && slices.Equal(c.grant.Projects, []string{Everything})
}

// Expires is when what proves the caller does; the zero time is never.
func (c Caller) Expires() time.Time {
	if c.grant == nil {
		return time.Time{}
	}
	return c.grant.Expires
}

// May tells whether the caller holds a permission in a project.
func (c Caller) May(project, permission string) bool {
	return c.In(project) && c.Holds(permission)
}

// Holds is May where the project is looked at apart. One permission may have several names, any of which is enough.
func (c Caller) Holds(names ...string) bool {
	if c.anybody {
		return true
	}
	return c.grant != nil && slices.ContainsFunc(c.grant.Permissions, func(granted string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return covers(granted, name) })
	})
}

// Projects are those that the caller's grant names, and the region that the first of them answers for. There are none
// to tell for Anybody, and for who may speak for all.
func (c Caller) Projects() (projects []string, region string) {
	if c.grant == nil || c.Everywhere() {
		return nil, ""
	}
	return c.grant.Projects, c.grant.Region
}

// nameOf tells callers apart and gives no key away. Its words are none that redaction takes for a secret.
func nameOf(kind, id string, g Grant) string {
	if g.Name != "" {
		return g.Name
	}
	sum := sha256.Sum256([]byte(id))
	return kind + ":" + hex.EncodeToString(sum[:8])
}

type contextKey struct{}

// With is a context of a request by c.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From is who asks; nobody, who may do nothing, if the door has not said.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(contextKey{}).(Caller)
	return c
}
