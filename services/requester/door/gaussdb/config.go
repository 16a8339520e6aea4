package gaussdb

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/secret"
)

// Config of the door. The zero value works.
type Config struct {
	// Access says who may do what. Without an entry the door is open, as the others are on loopback: any signature or
	// token is accepted, and none. With one, everything is verified.
	Access []Access `yaml:"access"`
	// LockKeys refuses an access key for 5 minutes after more than 5 wrong signatures in a row, as the vendor does. Off
	// by default: whoever knows an access key could lock its owner out.
	LockKeys bool `yaml:"lockKeys"`
	// Level1 turns on what the vendor calls level-1 backups: lists say of each backup where it lies (4.2).
	Level1 bool `yaml:"level1"`
	// ChineseNames allows Chinese letters in names of backups, which then have at most 64 bytes (4.1).
	ChineseNames bool `yaml:"chineseNames"`
}

// Access is one pair of keys, or one token, and the projects that it may speak for. A reference is env:NAME or
// file:/path (mode 0600); what it leads to is read once, when the service starts.
type Access struct {
	AccessKey        string `yaml:"accessKey"`
	SecretKeyRef     string `yaml:"secretKeyRef"`
	SecurityTokenRef string `yaml:"securityTokenRef"` // of temporary keys: has to come as X-Security-Token

	TokenRef string    `yaml:"tokenRef"` // in place of keys: has to come as X-Auth-Token; at least 16 bytes, and in one entry only
	Expires  time.Time `yaml:"expires"`  // of the token; absent: never

	Projects []string `yaml:"projects"`
	Region   string   `yaml:"region"`  // the first project answers for it, where a client looks its project up (3.6)
	Actions  []string `yaml:"actions"` // as gaussdb:backup:create; absent: all
}

var (
	accessKeyForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	regionForm    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)
)

// Bounds of the settings.
const (
	maxAccess   = 1000
	maxProjects = 1000 // of an entry
)

// Validate reports all mistakes at once. It repeats no reference: somebody may have put the secret there.
func (c Config) Validate() error {
	if len(c.Access) > maxAccess {
		return fmt.Errorf("access has more than %d entries", maxAccess)
	}
	var errs []error
	actions := map[string]bool{}
	for _, r := range (&Door{}).table() {
		actions[r.action] = r.action != ""
	}
	keys := map[string]bool{}
	for n, a := range c.Access {
		for _, err := range a.problems(actions) {
			errs = append(errs, fmt.Errorf("access[%d]%w", n, err))
		}
		if a.AccessKey != "" && keys[a.AccessKey] {
			errs = append(errs, fmt.Errorf("access[%d].accessKey is in an entry before: name all its projects there", n))
		}
		keys[a.AccessKey] = true
	}
	return errors.Join(errs...)
}

func (a Access) problems(actions map[string]bool) (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	ref := func(name, ref string) {
		if err := secret.Check(ref); err != nil {
			bad(".%s %w", name, err)
		}
	}
	switch hasKey := a.AccessKey != "" || a.SecretKeyRef != "" || a.SecurityTokenRef != ""; {
	case hasKey && a.TokenRef != "":
		bad(": has keys and a token: make it two entries")
	case hasKey:
		if !accessKeyForm.MatchString(a.AccessKey) {
			bad(".accessKey: letters, digits, - and _, at most 128")
		}
		ref("secretKeyRef", a.SecretKeyRef)
		if a.SecurityTokenRef != "" {
			ref("securityTokenRef", a.SecurityTokenRef)
		}
		if !a.Expires.IsZero() {
			bad(".expires is of a token: take it out")
		}
	default:
		ref("tokenRef", a.TokenRef)
	}
	if len(a.Projects) == 0 || len(a.Projects) > maxProjects {
		bad(".projects: 1 to %d", maxProjects)
	}
	for n, p := range a.Projects {
		if !isProject(p) {
			bad(".projects[%d] is no name of a project", n)
		}
	}
	if a.Region != "" && !regionForm.MatchString(a.Region) {
		bad(".region: lower-case letters, digits and hyphens, first a letter")
	}
	for n, name := range a.Actions {
		if !actions[plainAction(name)] {
			bad(".actions[%d] is none that this door knows, as gaussdb:backup:create", n)
		}
	}
	return errs
}

// plainAction takes the vendor's service from the name of an action; it has two (3.5).
func plainAction(name string) string {
	for _, service := range []string{"gaussdbformysql:", "gaussdb:"} {
		if action, ok := strings.CutPrefix(name, service); ok {
			return action
		}
	}
	return ""
}

const maxProject = 100 // bytes (events.md 2.1)

// isProject tells whether events allow a name for a project. A client that was given none sends the placeholder
// itself (1.2).
func isProject(name string) bool {
	_, err := events.Token(name)
	return err == nil && len(name) <= maxProject && name != "{project_id}" && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}
