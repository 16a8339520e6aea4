package access

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backupbus/backupbus/services/secret"
)

// Ring holds the grants with their secrets at hand. It does not change, so it is safe for concurrent use. The nil Ring
// is an open one.
type Ring struct {
	keys   map[string]*Key
	tokens map[[sha256.Size]byte]Caller // by hash, so that the time of a look-up says nothing of a token
}

// Key is a pair of keys. Who signs is found by its access key; the door computes the signature.
type Key struct {
	Caller Caller
	Secret secret.Value
	Token  secret.Value // of temporary keys; none else
}

const minToken = 16 // bytes: a shorter one can be guessed

// Open validates grants and reads their secrets; env is os.LookupEnv, or a test's.
func Open(g Grants, env func(string) (string, bool)) (*Ring, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	r := &Ring{keys: map[string]*Key{}, tokens: map[[sha256.Size]byte]Caller{}}
	var errs []error
	for n, one := range g {
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
		if one.TokenRef != "" {
			if err := r.hold(read("tokenRef", one.TokenRef), &one); err != nil {
				errs = append(errs, fmt.Errorf("access[%d].tokenRef: %w", n, err))
			}
			continue
		}
		k := &Key{Caller: Caller{name: nameOf("ak", one.AccessKey, one), grant: &one}, Secret: read("secretKeyRef", one.SecretKeyRef)}
		if one.SecurityTokenRef != "" {
			k.Token = read("securityTokenRef", one.SecurityTokenRef)
		}
		r.keys[one.AccessKey] = k
	}
	return r, errors.Join(errs...)
}

// hold refuses a token that could be guessed, or would be that of two grants.
func (r *Ring) hold(v secret.Value, g *Grant) error {
	text := v.Reveal()
	sum := sha256.Sum256([]byte(text))
	_, twice := r.tokens[sum]
	switch {
	case text == "": // refused already
		return nil
	case len(text) < minToken:
		return fmt.Errorf("the token has less than %d bytes: make a longer one", minToken)
	case twice:
		return errors.New("the token is that of an entry before: name all its projects there")
	}
	r.tokens[sum] = Caller{name: nameOf("bearer", g.TokenRef, *g), grant: g}
	return nil
}

// Anyone tells that nobody has to prove anything: there is no grant.
func (r *Ring) Anyone() bool { return r == nil || len(r.keys) == 0 && len(r.tokens) == 0 }

// What is wrong with a token.
var (
	ErrMissing = errors.New("no token")
	ErrUnknown = errors.New("unknown token")
)

// ExpiredError is a token that was good until then.
type ExpiredError struct{ At time.Time }

func (e *ExpiredError) Error() string {
	return "the token expired at " + e.At.UTC().Format(time.RFC3339)
}

// Bearer is who holds a token: ErrMissing, ErrUnknown or an ExpiredError if nobody does. On an open ring it is Anybody,
// whatever the token.
func (r *Ring) Bearer(token string, now time.Time) (Caller, error) {
	if r.Anyone() {
		return Anybody(), nil
	}
	if token == "" {
		return Caller{}, ErrMissing
	}
	who, ok := r.tokens[sha256.Sum256([]byte(token))]
	if !ok {
		return Caller{}, ErrUnknown
	}
	if end := who.Expires(); !end.IsZero() && !now.Before(end) {
		return Caller{}, &ExpiredError{end}
	}
	return who, nil
}

// Key is a pair by its access key.
func (r *Ring) Key(access string) (*Key, bool) {
	if r == nil {
		return nil, false
	}
	k, ok := r.keys[access]
	return k, ok
}

// FromHeader is the token of an Authorization header: empty if there is none, or one of another scheme (RFC 6750, 2.1).
func FromHeader(authorization string) string {
	scheme, token, ok := strings.Cut(authorization, " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}
