package filter

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/backupbus/backupbus/events"
)

// Filter is a list of filters that all have to be true. The zero value is true for every event. It does not
// change and is safe for concurrent use.
type Filter struct {
	source any // as it was written
	all    []dialect
}

// dialect is one filter object.
type dialect interface {
	match(ev events.Event) (bool, error)
}

// Match tells whether ev passes. An error means that it does not, because an expression could not be
// evaluated on it (events.md 7.3): the caller counts it.
func (f Filter) Match(ev events.Event) (bool, error) { return all(f.all).match(ev) }

// Empty tells a filter that passes everything.
func (f Filter) Empty() bool { return len(f.all) == 0 }

// MarshalJSON writes the list as it was written; null for the zero value.
func (f Filter) MarshalJSON() ([]byte, error) { return json.Marshal(f.source) }

// UnmarshalJSON is Parse.
func (f *Filter) UnmarshalJSON(b []byte) error {
	var list any
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	var err error
	*f, err = Parse(list)
	return err
}

// MarshalYAML writes the list as it was written.
func (f Filter) MarshalYAML() (any, error) { return f.source, nil }

// UnmarshalYAML is Parse.
func (f *Filter) UnmarshalYAML(decode func(any) error) error {
	var list any
	if err := decode(&list); err != nil {
		return err
	}
	var err error
	*f, err = Parse(list)
	return err
}

// IsZero leaves an empty filter out where a struct is encoded with omitzero.
func (f Filter) IsZero() bool { return f.source == nil }

// compare is exact, prefix or suffix: every named attribute exists and is as wanted.
type compare struct {
	wanted map[string]string
	is     func(have, want string) bool
}

func (c compare) match(ev events.Event) (bool, error) {
	for name, want := range c.wanted {
		if have, there := Attribute(ev, name); !there || !c.is(have, want) {
			return false, nil
		}
	}
	return true, nil
}

// comparisons are the dialects that compare strings, case-sensitively.
var comparisons = map[string]func(have, want string) bool{
	"exact":  func(have, want string) bool { return have == want },
	"prefix": strings.HasPrefix,
	"suffix": strings.HasSuffix,
}

type all []dialect

func (a all) match(ev events.Event) (bool, error) {
	for _, d := range a {
		if ok, err := d.match(ev); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

type anyOf []dialect

func (a anyOf) match(ev events.Event) (bool, error) {
	for _, d := range a {
		if ok, err := d.match(ev); ok || err != nil {
			return ok && err == nil, err
		}
	}
	return false, nil
}

type not struct{ inner dialect }

// match makes nothing true of what could not be evaluated.
func (n not) match(ev events.Event) (bool, error) {
	ok, err := n.inner.match(ev)
	return !ok && err == nil, err
}

// Problem is what is wrong at one place of a filter.
type Problem struct {
	Pointer string // JSON Pointer from the list on; empty for the list itself
	Message string
}

// Problems are all that is wrong with a filter.
type Problems []Problem

func (p Problems) Error() string {
	var out []string
	for _, one := range p {
		out = append(out, strings.TrimPrefix(one.Pointer+": "+one.Message, ": "))
	}
	return strings.Join(out, "; ")
}

// ProblemsOf are the problems in an error of this package; false for another error.
func ProblemsOf(err error) (Problems, bool) {
	var p Problems
	ok := errors.As(err, &p)
	return p, ok
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
