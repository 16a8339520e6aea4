package cloudsql

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Bounds of a fields parameter.
const (
	maxFieldsLength = 4096 // bytes
	maxFieldsDepth  = 20   // steps of one path
	maxFieldsPaths  = 500
)

// mask is what the query parameter fields selects of an answer (cloudsql.md 2.1): a tree of member names,
// where * stands for any. A nil mask selects everything below it.
type mask map[string]mask

// parseFields reads a comma list of paths: a, a/b, a(b,c/d), with * as a step. An empty one selects
// everything. What cannot be read is refused (PD-10), and so is a space, which is in no path.
func parseFields(s string) (mask, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > maxFieldsLength {
		return nil, badFields("it is longer than 4096 bytes")
	}
	p := &fieldsParser{rest: s}
	m := mask{}
	if err := p.list(m, 1); err != nil {
		return nil, err
	}
	if p.rest != "" {
		return nil, badFields("a parenthesis is closed that was not opened")
	}
	return m, nil
}

func badFields(why string) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "invalidParameter", status: "INVALID_ARGUMENT",
		message: "Invalid field selection in fields: " + why + "."}
}

type fieldsParser struct {
	rest  string
	paths int
}

// list reads paths into m until the text or the parenthesis ends.
func (p *fieldsParser) list(m mask, depth int) error {
	for {
		if err := p.path(m, depth); err != nil {
			return err
		}
		if !p.skip(',') {
			return nil
		}
	}
}

func (p *fieldsParser) path(m mask, depth int) error {
	if depth > maxFieldsDepth {
		return badFields("a path has more than 20 steps")
	}
	name := p.step()
	if name == "" {
		return badFields("a field name is missing, or has a character that no name has")
	}
	switch {
	case p.skip('/'):
		return p.path(m.below(name), depth+1)
	case p.skip('('):
		if err := p.list(m.below(name), depth+1); err != nil {
			return err
		}
		if !p.skip(')') {
			return badFields("a list in parentheses does not end")
		}
	default:
		if p.paths++; p.paths > maxFieldsPaths {
			return badFields("it has more than 500 paths")
		}
		m[name] = nil // the whole member, whatever else was selected of it
	}
	return nil
}

// below is where the steps after name go: a mask that selects nothing where name is selected whole already.
func (m mask) below(name string) mask {
	child, seen := m[name]
	switch {
	case !seen:
		child = mask{}
		m[name] = child
	case child == nil:
		child = mask{}
	}
	return child
}

// step takes a field name or a star off the text.
func (p *fieldsParser) step() string {
	if p.skip('*') {
		return "*"
	}
	n := strings.IndexFunc(p.rest, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
	if n < 0 {
		n = len(p.rest)
	}
	name := p.rest[:n]
	p.rest = p.rest[n:]
	return name
}

func (p *fieldsParser) skip(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// String is the shortest text that parseFields reads as m, names sorted.
func (m mask) String() string {
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		switch child := m[name]; len(child) {
		case 0:
			paths = append(paths, name)
		case 1:
			paths = append(paths, name+"/"+child.String())
		default:
			paths = append(paths, name+"("+child.String()+")")
		}
	}
	return strings.Join(paths, ",")
}

// of is what m selects of an answer. A nil mask gives the answer itself.
func (m mask) of(answer any) (any, error) {
	if m == nil {
		return answer, nil
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	var doc any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	return m.apply(doc), nil
}

// apply is what m selects of a decoded document, which stays as it is. Lists are passed through: each
// element is masked, and an object of which nothing is selected stays in its place as {}. Elsewhere a
// member of which nothing is selected is left out.
func (m mask) apply(doc any) any {
	if m == nil {
		return doc
	}
	picked, _ := pick(doc, []mask{m})
	return picked
}

// pick is what any of the masks selects of v, and whether that is anything: an empty object is not.
func pick(v any, masks []mask) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			if whole, below := step(masks, name); whole {
				out[name] = member
			} else if kept, some := pick(member, below); some {
				out[name] = kept
			}
		}
		return out, len(out) > 0
	case []any:
		out := []any{}
		for _, element := range v {
			if kept, _ := pick(element, masks); kept != nil {
				out = append(out, kept)
			}
		}
		return out, len(masks) > 0 && (len(out) > 0 || len(v) == 0)
	}
	return nil, false // a path leads below a plain value
}

// step is what masks say of a member: all of it, or what the masks below select.
func step(masks []mask, name string) (whole bool, below []mask) {
	for _, m := range masks {
		for _, n := range []string{name, "*"} {
			child, seen := m[n]
			if seen && child == nil {
				return true, nil
			}
			if seen {
				below = append(below, child)
			}
		}
	}
	return false, below
}
