package gaussdb

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/backupbus/backupbus/services/secret"
)

// access is what the settings grant, with the secrets at hand.
type access struct {
	lockKeys bool
	keys     map[string]*key
	tokens   []token
}

// key is a pair of keys.
type key struct {
	Access
	secret, security secret.Value

	mu     sync.Mutex
	wrong  int // signatures in a row
	locked time.Time
}

type token struct {
	Access
	value secret.Value
}

// identity is who asks.
type identity struct {
	anybody bool // the door is open
	name    string
	grants  Access
}

const minToken = 16 // bytes: a shorter one can be guessed

func openAccess(c Config, env func(string) (string, bool)) (*access, error) {
	a := &access{lockKeys: c.LockKeys, keys: map[string]*key{}}
	var errs []error
	for n, entry := range c.Access {
		read := func(field, ref string) secret.Value {
			text, err := secret.Read(ref, env)
			if err == nil && text == "" {
				err = errors.New("is empty: put the secret there")
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("access[%d].%s: %w", n, field, err))
			}
			return secret.Of(text)
		}
		if entry.TokenRef != "" {
			v := read("tokenRef", entry.TokenRef)
			if err := a.fit(v); err != nil {
				errs = append(errs, fmt.Errorf("access[%d].tokenRef: %w", n, err))
			}
			a.tokens = append(a.tokens, token{entry, v})
			continue
		}
		k := &key{Access: entry, secret: read("secretKeyRef", entry.SecretKeyRef)}
		if entry.SecurityTokenRef != "" {
			k.security = read("securityTokenRef", entry.SecurityTokenRef)
		}
		a.keys[entry.AccessKey] = k
	}
	return a, errors.Join(errs...)
}

// fit refuses a token that could be guessed, or would be that of two entries.
func (a *access) fit(v secret.Value) error {
	text := v.Reveal()
	switch {
	case text == "": // refused already
		return nil
	case len(text) < minToken:
		return fmt.Errorf("the token has less than %d bytes: make a longer one", minToken)
	case slices.ContainsFunc(a.tokens, func(other token) bool { return other.value.Is(text) }):
		return errors.New("the token is that of an entry before: name all its projects there")
	}
	return nil
}

func (a *access) open() bool { return len(a.keys) == 0 && len(a.tokens) == 0 }

// admit finds out who asks, and reads the body and the query of the call. A signature decides where there is one; a
// token next to it is only one more header (gaussdb.md 3).
func (a *access) admit(c *call, now time.Time) (err error) {
	switch {
	case a.open():
		c.who = identity{anybody: true}
	case c.Header.Get("Authorization") != "":
		return a.verify(c, now)
	default:
		if c.who, err = a.bearer(c.Header.Get("X-Auth-Token"), now); err != nil {
			return err
		}
	}
	c.query = parseQuery(c.URL.RawQuery, true)
	return c.readBody()
}

// bearer is who holds a token. Every one is compared, so that the time says nothing.
func (a *access) bearer(text string, now time.Time) (identity, error) {
	if text == "" {
		return identity{}, unauthorized("x-auth-token not found")
	}
	at := -1
	for n, t := range a.tokens {
		if t.value.Is(text) {
			at = n
		}
	}
	if at < 0 {
		return identity{}, unauthorized("decrypt token fail")
	}
	grants := a.tokens[at].Access
	if !grants.Expires.IsZero() && !now.Before(grants.Expires) {
		return identity{}, unauthorized("token expires, expires_at: " + grants.Expires.UTC().Format(time.RFC3339))
	}
	return identity{name: callerName("bearer", grants.TokenRef), grants: grants}, nil
}

// callerName is an opaque reference to who asked (events.md 2.1), which events carry: it tells callers apart and gives no
// key away. Its words are none that redaction takes for a secret.
func callerName(kind, id string) string {
	sum := sha256.Sum256([]byte(id))
	return kind + ":" + hex.EncodeToString(sum[:8])
}

// may tells whether the caller may do that in the project of the path.
func (i identity) may(action string, path map[string]string) error {
	project, named := path["project"]
	switch {
	case named && (!isProject(project) || !i.anybody && !slices.Contains(i.grants.Projects, project)):
		return errProject
	case !i.anybody && action != "" && len(i.grants.Actions) > 0 &&
		!slices.ContainsFunc(i.grants.Actions, func(name string) bool { return plainAction(name) == action }):
		return errAction
	}
	return nil
}

const maxBody = 12 << 20 // of signed requests (5.3)

func (c *call) readBody() error {
	b, err := io.ReadAll(c.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return errTooLarge
	case err != nil:
		return errRequest
	}
	c.body = b
	return nil
}

// The vendor's rule on keys (gaussdb.md 8, row 8).
const (
	wrongInARow = 5
	lockedFor   = 5 * time.Minute
)

func (k *key) isLocked(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return now.Before(k.locked)
}

// tried counts signatures that were wrong.
func (k *key) tried(right bool, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if right {
		k.wrong = 0
		return
	}
	if k.wrong++; k.wrong > wrongInARow {
		k.wrong, k.locked = 0, now.Add(lockedFor)
	}
}
