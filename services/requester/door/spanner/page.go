package spanner

import (
	"encoding/base64"
	"encoding/json"
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

// pageOf reads size and token of a list; false for a token that this list did not give.
func pageOf(method, parent, filter string, size int32, text string) (page, bool) {
	p := page{of: token{List: method + " " + parent, Filter: filter}, size: maxPage}
	if size > 0 {
		p.size = int(min(size, maxPage))
	}
	if text == "" {
		return p, true
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	var t token
	if err != nil || json.Unmarshal(raw, &t) != nil || t.Cursor == "" || t.List != p.of.List || t.Filter != p.of.Filter {
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

// gather fills a page from a list of records, of which keep takes some. It looks for one more than the page holds, so
// that the last page's token is empty.
func gather[R, T any](p page, fetch func(cursor string, limit int) ([]R, string, error), keep func(R) (T, bool, error)) (out []T, next string, err error) {
	cursor, chunk := p.cursor, max(p.size+1, 100)
	full, at := "", 0 // the chunk of the page's last item, and its place there
	end := func() (string, error) {
		_, after, err := fetch(full, at+1)
		return after, err
	}
	for looked := 0; looked < maxLooked; looked += chunk {
		records, after, err := fetch(cursor, chunk)
		if err != nil {
			return nil, "", err
		}
		for i, r := range records {
			v, ok, err := keep(r)
			if err != nil {
				return nil, "", err
			}
			if !ok {
				continue
			}
			if len(out) == p.size {
				next, err = end()
				return out, next, err
			}
			out, full, at = append(out, v), cursor, i
		}
		if after == "" {
			return out, "", nil
		}
		cursor = after
	}
	return out, cursor, nil
}
