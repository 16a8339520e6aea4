package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
)

// unknownMember names a member that the type does not have.
type unknownMember struct{ pointer string }

func (u *unknownMember) Error() string { return "unknown member" }

// strict decodes one JSON object and nothing behind it.
func strict(b []byte, into any) error {
	var tree map[string]any
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&tree); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	if tree == nil {
		return errors.New("no object")
	}
	if err := known("", tree, reflect.TypeOf(into)); err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// known looks for members that a struct has no field for, in the order in which people read.
func known(at string, v any, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	m, isObject := v.(map[string]any)
	if !isObject || t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	fields := fieldsOf(t)
	for name, inner := range m {
		here := at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		f, ok := fields[name]
		if !ok {
			return &unknownMember{here}
		}
		if err := known(here, inner, f); err != nil {
			return err
		}
	}
	return nil
}

func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for n, inner := range fieldsOf(f.Type) {
				out[n] = inner
			}
		case name != "" && name != "-":
			out[name] = f.Type
		}
	}
	return out
}

// pointer is the JSON Pointer of encoding/json's dotted path.
func pointer(field string) string {
	if field == "" {
		return ""
	}
	return "/" + strings.ReplaceAll(strings.TrimPrefix(field, "Interest."), ".", "/") // an embedded struct is no member
}

func words(kind string) string {
	switch kind {
	case "struct", "map":
		return "an object"
	case "slice":
		return "a list"
	case "int", "int64":
		return "a whole number"
	case "bool":
		return "true or false"
	}
	return "a text"
}
