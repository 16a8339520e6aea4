package access

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/secret"
)

// Grant is one token, or one pair of keys, and what its holder may do. A reference is env:NAME or file:/path (mode
// 0600); what it leads to is read once, when the service starts.
type Grant struct {
	// Name stands in the events of backups, restores, instances and schedules that the holder causes (events.md 2.1,
	// requestedBy); absent: a hash of the reference.
	Name string `yaml:"name"`

	TokenRef string    `yaml:"tokenRef"` // Authorization: Bearer, or X-Auth-Token for Huawei's clients; at least 16 bytes
	Expires  time.Time `yaml:"expires"`  // of the token; absent: never

	AccessKey        string `yaml:"accessKey"` // in place of a token: the holder signs, as Huawei's clients do
	SecretKeyRef     string `yaml:"secretKeyRef"`
	SecurityTokenRef string `yaml:"securityTokenRef"` // of temporary keys: has to come as X-Security-Token

	Projects []string `yaml:"projects"` // their names in NFC, as events have them; * alone: all of them
	Region   string   `yaml:"region"`   // the first project answers for it, where a client of Huawei looks its project up

	// Permissions by the names of each door, as cloudsql.backupRuns.create, spanner.backups.create,
	// gaussdb:backup:create or backupbus.backups.create; with * at the end, all that begin so. At least one: * is all.
	Permissions []string `yaml:"permissions"`
}

// Grants are all of them.
type Grants []Grant

var (
	nameForm       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@._-]{0,99}$`)
	accessKeyForm  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	permissionForm = regexp.MustCompile(`^(\*|[A-Za-z]+[.:]([A-Za-z]+[.:])*([A-Za-z]+|\*))$`)
	regionForm     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)
)

// Bounds of the settings.
const (
	maxGrants      = 1000
	maxProjects    = 1000 // of a grant
	maxPermissions = 200  // of a grant
)

// Everything stands alone for all projects.
const Everything = "*"

// Validate reports all mistakes at once. It repeats no reference: somebody may have put the secret there. Which
// permissions there are, Check knows.
func (g Grants) Validate() error {
	if len(g) > maxGrants {
		return fmt.Errorf("access has more than %d entries", maxGrants)
	}
	var errs []error
	keys, names := map[string]bool{}, map[string]bool{}
	for n, one := range g {
		for _, err := range one.problems() {
			errs = append(errs, fmt.Errorf("access[%d]%w", n, err))
		}
		if one.AccessKey != "" && keys[one.AccessKey] {
			errs = append(errs, fmt.Errorf("access[%d].accessKey is in an entry before: name all its projects there", n))
		}
		if one.Name != "" && names[one.Name] {
			errs = append(errs, fmt.Errorf("access[%d].name is that of an entry before: events could not tell them apart", n))
		}
		keys[one.AccessKey], names[one.Name] = true, true
	}
	return errors.Join(errs...)
}

// Check refuses permissions that no door asks for; known are those that one does. Of a name with * at its end, one that
// begins so is enough.
func (g Grants) Check(known []string) error {
	var errs []error
	for n, one := range g {
		for m, name := range one.Permissions {
			if !slices.ContainsFunc(known, func(k string) bool { return covers(name, k) }) {
				errs = append(errs, fmt.Errorf("access[%d].permissions[%d]: no door asks for %q: `backupbus permissions` lists what they ask for", n, m, events.Clip(name, maxName)))
			}
		}
	}
	return errors.Join(errs...)
}

func (g Grant) problems() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if g.Name != "" && (!nameForm.MatchString(g.Name) || events.HasSecret(g.Name)) {
		bad(".name: like no secret; letters, digits and @._-, first a letter or digit, at most 100")
	}
	errs = append(errs, g.proofProblems()...)
	if len(g.Projects) == 0 || len(g.Projects) > maxProjects {
		bad(".projects: 1 to %d, or * alone", maxProjects)
	}
	for n, p := range g.Projects {
		if !IsProject(p) || !norm.NFC.IsNormalString(p) || strings.TrimSpace(p) != p || strings.Contains(p, Everything) && len(p) > 1 || p == Everything && len(g.Projects) > 1 {
			bad(".projects[%d] is no name of a project, or not as events have it: * stands alone, and letters with marks are one character (NFC)", n)
		}
	}
	if g.Region != "" && (!regionForm.MatchString(g.Region) || slices.Contains(g.Projects, Everything)) {
		bad(".region: lower-case letters, digits and hyphens, first a letter; and its first project has to be named")
	}
	if len(g.Permissions) == 0 || len(g.Permissions) > maxPermissions {
		bad(".permissions: 1 to %d; * is all", maxPermissions)
	}
	for n, name := range g.Permissions {
		if !permissionForm.MatchString(name) {
			bad(".permissions[%d] is no name of one, as cloudsql.backupRuns.create or spanner.backups.*", n)
		}
	}
	return errs
}

// proofProblems are those of the token or of the keys.
func (g Grant) proofProblems() (errs []error) {
	ref := func(name, ref string) {
		if err := secret.Check(ref); err != nil {
			errs = append(errs, fmt.Errorf(".%s %w", name, err))
		}
	}
	switch hasKey := g.AccessKey != "" || g.SecretKeyRef != "" || g.SecurityTokenRef != ""; {
	case hasKey && g.TokenRef != "":
		errs = append(errs, errors.New(": has keys and a token: make it two entries"))
	case hasKey:
		if !accessKeyForm.MatchString(g.AccessKey) {
			errs = append(errs, errors.New(".accessKey: letters, digits, - and _, at most 128"))
		}
		ref("secretKeyRef", g.SecretKeyRef)
		if g.SecurityTokenRef != "" {
			ref("securityTokenRef", g.SecurityTokenRef)
		}
		if !g.Expires.IsZero() {
			errs = append(errs, errors.New(".expires is of a token: take it out"))
		}
	default:
		ref("tokenRef", g.TokenRef)
	}
	return errs
}

// covers tells whether a granted name is that permission, or begins as it does and ends in *.
func covers(granted, permission string) bool {
	if start, ok := strings.CutSuffix(granted, "*"); ok {
		return strings.HasPrefix(permission, start) && (start == "" || strings.HasSuffix(start, ".") || strings.HasSuffix(start, ":"))
	}
	return granted == permission
}

const (
	maxProject = 100 // bytes (events.md 2.1)
	maxName    = 100 // of what is shown of a permission
)

// IsProject tells whether events allow a name for a project. A client of Huawei that was given none sends the
// placeholder itself (gaussdb.md 1.2).
func IsProject(name string) bool {
	_, err := events.Token(name)
	return err == nil && len(name) <= maxProject && name != "{project_id}" && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}
