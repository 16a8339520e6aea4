package cloudsql

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
)

// Page sizes of cloudsql.md PD-1.
const (
	defaultResults = 500
	maxResults     = 1000
)

// token is what a pageToken carries: it is good for the list that it came from only (PD-2).
type token struct {
	Resource string `json:"r"`
	Project  string `json:"p"`
	Instance string `json:"i,omitempty"`
	Cursor   string `json:"c"`
}

// page reads maxResults and pageToken of a list.
func (c *call) page(resource, instance string) (cursor string, limit int, err error) {
	limit = defaultResults
	if s := c.query.Get("maxResults"); s != "" {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil || n < 0 {
			return "", 0, invalid("maxResults must be a number that is not negative.")
		}
		if n > 0 {
			limit = int(min(n, maxResults))
		}
	}
	s := c.query.Get("pageToken")
	if s == "" {
		return "", limit, nil
	}
	bad := invalid("pageToken is not one that this list gave.")
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return "", 0, bad
	}
	var t token
	if err := json.Unmarshal(b, &t); err != nil || t.Cursor == "" {
		return "", 0, bad
	}
	if t.Resource != resource || t.Project != c.path["project"] || t.Instance != instance {
		return "", 0, bad
	}
	return t.Cursor, limit, nil
}

// next makes the token of the page behind cursor; none after the last page.
func (c *call) next(resource, instance, cursor string) string {
	if cursor == "" {
		return ""
	}
	b, err := json.Marshal(token{resource, c.path["project"], instance, cursor})
	if err != nil {
		return "" // strings always encode
	}
	return base64.RawURLEncoding.EncodeToString(b)
}
