package filter

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

const (
	maxFilters = 32 // those inside others included
	maxNesting = 8
)

// dialects are the names that a filter object may have.
const dialects = "exact, prefix, suffix, all, any, not, sql"

// Parse reads a list of filters as encoding/json or a YAML decoder makes it: []any of map[string]any. The error
// is Problems, with a JSON Pointer for each. nil is the zero Filter.
func Parse(list any) (Filter, error) {
	p := &parser{}
	if list == nil {
		return Filter{}, nil
	}
	items, ok := list.([]any)
	if !ok {
		p.wrong("", "is no list of filters")
		return Filter{}, p.problems
	}
	f := Filter{source: list}
	for i, item := range items {
		f.all = append(f.all, p.filter("/"+strconv.Itoa(i), item, 1))
	}
	if p.count > maxFilters {
		p.wrong("", fmt.Sprintf("are more filters than %d, those inside counted: split the subscription", maxFilters))
	}
	if len(p.problems) > 0 {
		return Filter{}, p.problems
	}
	return f, nil
}

// ParseSQL is the filter of one CESQL expression (events.md 7.3).
func ParseSQL(text string) (Filter, error) {
	return Parse([]any{map[string]any{"sql": text}})
}

type parser struct {
	count    int
	problems Problems
}

func (p *parser) wrong(pointer, message string) dialect {
	p.problems = append(p.problems, Problem{pointer, message})
	return all(nil)
}

// filter reads one filter object that stands depth filters deep.
func (p *parser) filter(at string, v any, depth int) dialect {
	if p.count++; p.count > maxFilters {
		return all(nil) // Parse reports it; what more there is costs nothing
	}
	m, ok := v.(map[string]any)
	switch {
	case !ok:
		return p.wrong(at, "is no filter: write it as an object with one of "+dialects)
	case len(m) != 1:
		return p.wrong(at, fmt.Sprintf("has to have one of %s; it has %d members", dialects, len(m)))
	case depth > maxNesting:
		return p.wrong(at, fmt.Sprintf("is nested %d deep, at most %d", depth, maxNesting))
	}
	name := sortedKeys(m)[0]
	inner := at + "/" + escape(name)
	switch name {
	case "exact", "prefix", "suffix":
		return p.compare(inner, m[name], comparisons[name])
	case "all":
		return all(p.list(inner, m[name], depth))
	case "any":
		return anyOf(p.list(inner, m[name], depth))
	case "not":
		return not{p.filter(inner, m[name], depth+1)}
	case "sql":
		text, ok := m[name].(string)
		if !ok {
			return p.wrong(inner, "is no text: write a CESQL expression")
		}
		s, err := parseSQL(text)
		if err != nil {
			return p.wrong(inner, err.Error())
		}
		return s
	}
	return p.wrong(inner, "is no dialect: it has to be one of "+dialects)
}

func (p *parser) list(at string, v any, depth int) []dialect {
	items, ok := v.([]any)
	if !ok || len(items) == 0 {
		p.wrong(at, "has to be a list of at least one filter")
		return nil
	}
	var out []dialect
	for i, item := range items {
		out = append(out, p.filter(at+"/"+strconv.Itoa(i), item, depth+1))
	}
	return out
}

var attributeName = regexp.MustCompile(`^[a-z0-9]+$`)

func (p *parser) compare(at string, v any, is func(have, want string) bool) dialect {
	m, ok := v.(map[string]any)
	if !ok || len(m) == 0 {
		return p.wrong(at, "has to name at least one attribute and its value")
	}
	c := compare{map[string]string{}, is}
	for _, name := range sortedKeys(m) {
		here := at + "/" + escape(name)
		text, isText := m[name].(string)
		switch {
		case name == "data":
			p.wrong(here, "filters see attributes, not data")
		case !attributeName.MatchString(name):
			p.wrong(here, "is no attribute: names are lower-case letters and digits")
		case !isText:
			p.wrong(here, "is no text: quote it")
		case text == "":
			p.wrong(here, "is empty")
		}
		c.wanted[name] = text
	}
	return c
}

// escape is RFC 6901.
func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }
