package gaussdb

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/backupbus/backupbus/services/access"
)

// admit finds out who asks, and reads the body and the query of the call. A signature decides where there is one; a
// token next to it is only one more header (gaussdb.md 3).
func (d *Door) admit(c *call, now time.Time) (err error) {
	if c.Header.Get("Authorization") != "" && !d.ring.Anyone() {
		return d.verify(c, now)
	}
	if c.who, err = d.bearer(c.Header.Get("X-Auth-Token"), now); err != nil {
		return err
	}
	c.query = parseQuery(c.URL.RawQuery, true)
	return c.readBody()
}

// bearer is who holds a token.
func (d *Door) bearer(text string, now time.Time) (access.Caller, error) {
	who, err := d.ring.Bearer(text, now)
	var expired *access.ExpiredError
	switch {
	case errors.Is(err, access.ErrMissing):
		return who, unauthorized("x-auth-token not found")
	case errors.As(err, &expired):
		return who, unauthorized("token expires, expires_at: " + expired.At.UTC().Format(time.RFC3339))
	case err != nil:
		return who, unauthorized("decrypt token fail")
	}
	return who, nil
}

// may tells whether the caller may do that in the project of the path.
func may(who access.Caller, action string, path map[string]string) error {
	project, named := path["project"]
	switch {
	case named && (!access.IsProject(project) || !who.In(project)):
		return errProject
	case action != "" && !who.Holds(namesOf(action)...):
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

// locks count wrong signatures of each key. Safe for concurrent use; the zero value works.
type locks struct {
	mu   sync.Mutex
	keys map[string]lock
}

type lock struct {
	wrong int // signatures in a row
	until time.Time
}

func (l *locks) locked(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.keys[key].until)
}

// tried counts signatures of a key that there is.
func (l *locks) tried(key string, right bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]lock{}
	}
	k := l.keys[key]
	switch k.wrong++; {
	case right:
		k.wrong = 0
	case k.wrong > wrongInARow:
		k = lock{until: now.Add(lockedFor)}
	}
	l.keys[key] = k
}
