package spanner

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
)

// maxPage is how much a page holds at most, and by default (spanner.md 4.7).
const maxPage = 1000

// maxLooked is how many records a call looks at: a page may be short, or empty, and the next goes on.
const maxLooked = 10_000

// token is what a page token carries: it is good for the list that it came from only.
type token struct {
	List   string `json:"l"` // method and parent
	Filter string `json:"f,omitempty"`
	Cursor string `json:"c"`
}

// page is what of a list is asked for.
type page struct {
	of     token
	cursor string
	size   int
}

// The forms of cursors: the keys of events/lifecycle/order.go.
var (
	backupCursor  = regexp.MustCompile(`^[0-9]{15}\.[A-Za-z0-9_~-]{1,64}\.bk_[a-z2-7]{26}$`)
	restoreCursor = regexp.MustCompile(`^[0-9]{15}\.rs_[a-z2-7]{26}$`)
)

// pageOf reads size and token of a list whose cursors have a form; false for a token that this list did not give.
func pageOf(form *regexp.Regexp, method, parent, filter string, size int32, text string) (page, bool) {
	p := page{of: token{List: method + " " + parent, Filter: filter}, size: maxPage}
	if size > 0 {
		p.size = int(min(size, maxPage))
	}
	if text == "" {
		return p, true
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	var t token
	if err != nil || json.Unmarshal(raw, &t) != nil || !form.MatchString(t.Cursor) || t.List != p.of.List || t.Filter != p.of.Filter {
		return p, false
	}
	p.cursor = t.Cursor
	return p, true
}

func (p page) next(cursor string) string {
	if cursor == "" {
		return ""
	}
	t := p.of
	t.Cursor = cursor
	raw, err := json.Marshal(t)
	if err != nil {
		return "" // strings always encode
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// gather fills a page from a list of records, of which keep takes some; key is the cursor of a record. It looks for one
// more than the page holds, so that the last page's token is empty.
func gather[R, T any](p page, key func(R) string, fetch func(cursor string, limit int) ([]R, string, error), keep func(R) (T, bool, error)) (out []T, next string, err error) {
	cursor, last, chunk := p.cursor, "", max(p.size+1, 100)
	for looked := 0; looked < maxLooked; looked += chunk {
		records, after, err := fetch(cursor, chunk)
		if err != nil {
			return nil, "", err
		}
		for _, r := range records {
			v, ok, err := keep(r)
			switch {
			case err != nil:
				return nil, "", err
			case !ok:
				continue
			case len(out) == p.size:
				return out, last, nil
			}
			out, last = append(out, v), key(r)
		}
		if after == "" {
			return out, "", nil
		}
		cursor = after
	}
	return out, cursor, nil
}
