package gaussdb

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/backupbus/backupbus/services/access"
)

// listProjects is the look-up of a project by the name of a region, which the vendor's identity service answers (3.6).
func (d *Door) listProjects(c *call) (any, error) {
	name := c.query.get("name")
	out := projectList{Projects: []project{}}
	for _, id := range projectsOf(c.who, name) {
		shown := project{ID: id, Name: name, DomainID: domain, Enabled: true, ParentID: domain}
		if name == "" {
			shown.Name = id
		}
		out.Projects = append(out.Projects, shown)
	}
	return out, nil
}

// projectsOf a region: the one that answers for it, or the one that is called so. Without a region, all that a grant
// names. Who may speak for every project has no list, and the project is there that is called so.
func projectsOf(who access.Caller, region string) []string {
	all, answers := who.Projects()
	switch {
	case region == "":
		return all
	case answers == region:
		return all[:1]
	case access.IsProject(region) && who.In(region):
		return []string{region}
	}
	return nil
}

// domain is the account that owns all projects: there is one, and it has no name.
var domain = func() string {
	sum := sha256.Sum256([]byte("backupbus"))
	return hex.EncodeToString(sum[:16])
}()
