package subscription

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/backupbus/backupbus/events"
)

// Filter is one dialect object of events.md 7.2: exactly one of its fields is set.
type Filter struct {
	Exact  map[string]string `yaml:"exact"`
	Prefix map[string]string `yaml:"prefix"`
	Suffix map[string]string `yaml:"suffix"`
	All    []Filter          `yaml:"all"`
	Any    []Filter          `yaml:"any"`
	Not    *Filter           `yaml:"not"`
}

const (
	maxFilters = 32
	maxNesting = 8
)

// match is for filters that filterProblems has found nothing wrong with.
func (f Filter) match(ev events.Event) bool {
	yes := func(inner Filter) bool { return inner.match(ev) }
	no := func(inner Filter) bool { return !inner.match(ev) }
	switch {
	case f.Exact != nil:
		return compare(ev, f.Exact, func(have, want string) bool { return have == want })
	case f.Prefix != nil:
		return compare(ev, f.Prefix, strings.HasPrefix)
	case f.Suffix != nil:
		return compare(ev, f.Suffix, strings.HasSuffix)
	case f.All != nil:
		return !slices.ContainsFunc(f.All, no)
	case f.Any != nil:
		return slices.ContainsFunc(f.Any, yes)
	case f.Not != nil:
		return no(*f.Not)
	}
	return false
}

// compare holds if every named attribute exists and is as wanted.
func compare(ev events.Event, wanted map[string]string, is func(have, want string) bool) bool {
	for name, want := range wanted {
		if have, there := attribute(ev, name); !there || !is(have, want) {
			return false
		}
	}
	return true
}

// filterProblems lists what is wrong with a list of filters that stands at path.
func filterProblems(path string, list []Filter) []error {
	count := 0
	var out []error
	for i, f := range list {
		out = append(out, f.problems(fmt.Sprintf("%s[%d]", path, i), 1, &count)...)
	}
	if count > maxFilters {
		out = append(out, fmt.Errorf("%s: are %d with those inside, at most %d: split the subscription", path, count, maxFilters))
	}
	return out
}

// problems looks at f, which stands depth filters deep, and counts it and those inside.
func (f Filter) problems(path string, depth int, count *int) []error {
	*count++
	dialects := f.dialects()
	switch {
	case len(dialects) != 1:
		return []error{fmt.Errorf("%s: has to be one of exact, prefix, suffix, all, any, not; it has %d of them", path, len(dialects))}
	case depth > maxNesting:
		return []error{fmt.Errorf("%s: is nested %d deep, at most %d", path, depth, maxNesting)}
	}
	path += "." + dialects[0]
	if f.Not != nil {
		return f.Not.problems(path, depth+1, count)
	}
	if inner := slices.Concat(f.All, f.Any); len(inner) > 0 {
		var out []error
		for i, g := range inner {
			out = append(out, g.problems(fmt.Sprintf("%s[%d]", path, i), depth+1, count)...)
		}
		return out
	}
	if f.All != nil || f.Any != nil {
		return []error{fmt.Errorf("%s: is empty: name at least one filter", path)}
	}
	return attributeProblems(path, f.wanted())
}

func (f Filter) dialects() []string {
	var out []string
	for _, d := range []struct {
		name string
		set  bool
	}{
		{"exact", f.Exact != nil}, {"prefix", f.Prefix != nil}, {"suffix", f.Suffix != nil},
		{"all", f.All != nil}, {"any", f.Any != nil}, {"not", f.Not != nil},
	} {
		if d.set {
			out = append(out, d.name)
		}
	}
	return out
}

// wanted is the object of exact, prefix or suffix.
func (f Filter) wanted() map[string]string {
	for _, m := range []map[string]string{f.Exact, f.Prefix, f.Suffix} {
		if m != nil {
			return m
		}
	}
	return nil
}

var attributeName = regexp.MustCompile(`^[a-z0-9]+$`)

func attributeProblems(path string, wanted map[string]string) []error {
	if len(wanted) == 0 {
		return []error{fmt.Errorf("%s: is empty: name an attribute and its value", path)}
	}
	var out []error
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		var err error
		switch {
		case name == "data":
			err = errors.New("filters see attributes, not data")
		case !attributeName.MatchString(name):
			err = fmt.Errorf("%q is no attribute: names are lower-case letters and digits", name)
		case wanted[name] == "":
			err = fmt.Errorf("the value of %s is empty", name)
		default:
			continue
		}
		out = append(out, fmt.Errorf("%s: %w", path, err))
	}
	return out
}
