package intake

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/backupbus/backupbus/events"
)

const maxName = 100 // bytes of project, provider, instance, database (events.md 2.1)

// name checks a name and puts it into NFC, the form in which names are compared (events.md 1.3).
func name(what, s string) (string, error) {
	s = norm.NFC.String(s)
	switch {
	case s == "":
		return "", refuse(Invalid, NameInvalid, "%s is empty", what)
	case len(s) > maxName:
		return "", refuse(Invalid, NameInvalid, "%s has %d bytes, at most %d are allowed", what, len(s), maxName)
	case !utf8.ValidString(s):
		return "", refuse(Invalid, NameInvalid, "%s is not UTF-8", what)
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", refuse(Invalid, NameInvalid, "%s contains a control character", what)
	case events.HasSecret(s):
		return "", refuse(Invalid, ForbiddenContent, "%s looks like a credential", what)
	}
	return s, nil
}

// text checks free text; characters, not bytes, are counted.
func text(what, s string, max int) error {
	switch {
	case !utf8.ValidString(s):
		return refuse(Invalid, SchemaViolation, "%s is not UTF-8", what)
	case utf8.RuneCountInString(s) > max:
		return refuse(Invalid, SchemaViolation, "%s is longer than %d characters", what, max)
	case events.HasSecret(s):
		return refuse(Invalid, ForbiddenContent, "%s contains what looks like a credential; it was not stored", what)
	}
	return nil
}

func labels(l map[string]string) error {
	if err := events.CheckLabels(l); err != nil {
		return refuse(Invalid, SchemaViolation, "%s", err.Error())
	}
	for k, v := range l {
		if !utf8.ValidString(v) || events.HasSecret(v) {
			return refuse(Invalid, ForbiddenContent, "label %s is not plain text or contains what looks like a credential", k)
		}
	}
	return nil
}

var (
	providerForm = regexp.MustCompile(`^[a-z][a-z0-9]{1,19}$`)
	locationForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	backupIDForm = regexp.MustCompile(`^bk_[a-z2-7]{26}$`)
)

func (i *Intake) provider(p string) error {
	if !providerForm.MatchString(p) {
		return refuse(Invalid, ProviderUnsupported, "provider %q does not match %s", events.Clip(p, 40), providerForm)
	}
	if !slices.Contains(i.c.Providers, p) {
		return refuse(Invalid, ProviderUnsupported, "provider %s is not served here; there is: %s", p, strings.Join(i.c.Providers, ", "))
	}
	return nil
}

// maxKeep is the longest expiry that is accepted: a hundred years. More is a mistake in the unit.
const maxKeep = 100 * 365 * 24 * time.Hour

func expiry(t, now time.Time) error {
	if !t.IsZero() && (!t.After(now) || t.Sub(now) > maxKeep) {
		return refuse(Invalid, SchemaViolation, "expireTime must lie in the future, at most 100 years away")
	}
	return nil
}
