package cloudsql

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
)

// sizes are how a list bounds its pages.
type sizes struct {
	parameter     string
	absent, limit int
	bits          int // of the parameter's type
}

var (
	results  = sizes{"maxResults", 500, 1000, 31} // PD-1: an int32
	counts   = sizes{"maxResults", 500, 1000, 32} // of instances and operations: a uint32
	pageSize = sizes{"pageSize", 500, 2000, 31}   // cloudsql.md 9
)

// token is what a pageToken carries: it is good for the list that it came from only (PD-2).
type token struct {
	Resource string `json:"r"`
	Project  string `json:"p"`
	Of       string `json:"o,omitempty"` // the instance, or the filter
	Cursor   string `json:"c"`
}

// page reads the size and the pageToken of a list. of is what tells the list from others of its resource.
func (c *call) page(resource, of string, size sizes) (cursor string, limit int, err error) {
	limit = size.absent
	if s := c.query.Get(size.parameter); s != "" {
		n, err := strconv.ParseUint(s, 10, size.bits)
		if err != nil {
			return "", 0, invalid(fmt.Sprintf("%s is a whole number from 0 to %d.", size.parameter, uint64(1)<<size.bits-1))
		}
		if n > 0 {
			limit = int(min(n, uint64(size.limit)))
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
	if t.Resource != resource || t.Project != c.path["project"] || t.Of != of {
		return "", 0, bad
	}
	return t.Cursor, limit, nil
}

// next makes the token of the page behind cursor; none after the last page.
func (c *call) next(resource, of, cursor string) string {
	if cursor == "" {
		return ""
	}
	b, err := json.Marshal(token{resource, c.path["project"], of, cursor})
	if err != nil {
		return "" // strings always encode
	}
	return base64.RawURLEncoding.EncodeToString(b)
}
