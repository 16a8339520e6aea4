package gaussdb

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// query are the parameters of a request in their order: also what is to be signed.
type query struct {
	pairs     []pair
	malformed bool
}

type pair struct{ key, value string }

// parseQuery decodes the query string. A key without = has an empty value.
func parseQuery(raw string, plusIsSpace bool) (q query) {
	decode := url.PathUnescape
	if plusIsSpace {
		decode = url.QueryUnescape
	}
	for _, part := range strings.Split(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, kerr := decode(k)
		value, verr := decode(v)
		if kerr != nil || verr != nil || !utf8.ValidString(key) || !utf8.ValidString(value) {
			q.malformed = true
		}
		q.pairs = append(q.pairs, pair{key, value})
	}
	return q
}

// get is the first value of a parameter; an empty one counts as absent (4.2).
func (q query) get(name string) string {
	for _, p := range q.pairs {
		if p.key == name {
			return p.value
		}
	}
	return ""
}

func (q query) canonical() string {
	pairs := slices.Clone(q.pairs)
	slices.SortStableFunc(pairs, func(a, b pair) int {
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	out := make([]string, len(pairs))
	for i, p := range pairs {
		out[i] = percent(p.key) + "=" + percent(p.value)
	}
	return strings.Join(out, "&")
}

// Bounds of a page (gaussdb.md 4.2).
const maxLimit = 100

// page reads limit and offset.
func (q query) page() (offset, limit int, err error) {
	limit, err = q.number("limit", maxLimit)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, 0, errLimit
	}
	if offset, err = q.number("offset", 0); err != nil {
		return 0, 0, errParameter
	}
	return offset, limit, nil
}

var wholeForm = regexp.MustCompile(`^[0-9]{1,18}$`)

// number is a whole number that is not negative.
func (q query) number(name string, absent int) (int, error) {
	s := q.get(name)
	switch {
	case s == "":
		return absent, nil
	case !wholeForm.MatchString(s):
		return 0, errParameter
	}
	return strconv.Atoi(s)
}

var offsetForm = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:Z|([+ -])(\d{2}):?(\d{2}))$`)

// parseTime reads a moment with a numeric offset or Z; a space before the offset is a + that was not escaped (2.3).
func parseTime(s string) (time.Time, bool) {
	m := offsetForm.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
	}
	zone := "+0000"
	if m[2] != "" {
		zone = strings.ReplaceAll(m[2], " ", "+") + m[3] + m[4]
	}
	t, err := time.Parse("2006-01-02T15:04:05-0700", m[1]+zone)
	return t.UTC(), err == nil
}
