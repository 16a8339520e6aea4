package cloudsql

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFields_Select(t *testing.T) {
	t.Parallel()
	const list = `{"kind":"l","items":[{"id":"1","error":{"code":"X","message":"m"}},{"id":"2"}],"nextPageToken":"n"}`
	for name, c := range map[string]struct{ fields, doc, want string }{
		"nothing named":              {"", list, list},
		"one member":                 {"kind", list, `{"kind":"l"}`},
		"several":                    {"kind,nextPageToken", list, `{"kind":"l","nextPageToken":"n"}`},
		"a member of elements":       {"items/id", list, `{"items":[{"id":"1"},{"id":"2"}]}`},
		"the same in parentheses":    {"items(id)", list, `{"items":[{"id":"1"},{"id":"2"}]}`},
		"an element may lack it":     {"items/error/code", list, `{"items":[{"error":{"code":"X"}},{}]}`},
		"nested":                     {"items(id,error(message)),kind", list, `{"items":[{"error":{"message":"m"},"id":"1"},{"id":"2"}],"kind":"l"}`},
		"a path in parentheses":      {"items(error/code)", list, `{"items":[{"error":{"code":"X"}},{}]}`},
		"star":                       {"*", list, list},
		"star as last step":          {"items/*", list, `{"items":[{"error":{"code":"X","message":"m"},"id":"1"},{"id":"2"}]}`},
		"star between":               {"a/*/b", `{"a":{"x":{"b":1,"c":2},"y":{"b":3},"z":{"c":4}}}`, `{"a":{"x":{"b":1},"y":{"b":3}}}`},
		"star and a name":            {"*/b,x/c", `{"x":{"b":1,"c":2,"d":0},"y":{"b":3,"c":4}}`, `{"x":{"b":1,"c":2},"y":{"b":3}}`},
		"star first":                 {"*(code)", `{"error":{"code":1,"message":"m"},"kind":"k"}`, `{"error":{"code":1}}`},
		"whole wins over a part":     {"items/id,items", list, `{"items":[{"error":{"code":"X","message":"m"},"id":"1"},{"id":"2"}]}`},
		"a part after the whole":     {"items,items/id", list, `{"items":[{"error":{"code":"X","message":"m"},"id":"1"},{"id":"2"}]}`},
		"two parts add up":           {"items/id,items/error/code", list, `{"items":[{"error":{"code":"X"},"id":"1"},{"id":"2"}]}`},
		"unknown":                    {"nope", list, `{}`},
		"unknown beside known":       {"nope,kind", list, `{"kind":"l"}`},
		"unknown below":              {"settings/nope,name", `{"name":"n","settings":{"tier":"t"}}`, `{"name":"n"}`},
		"below a plain value":        {"kind/x,nextPageToken", list, `{"nextPageToken":"n"}`},
		"below a list of values":     {"a/x", `{"a":[1,"2"]}`, `{}`},
		"an empty list":              {"items/id", `{"items":[],"kind":"k"}`, `{"items":[]}`},
		"lists in lists":             {"a/b", `{"a":[[{"b":1,"c":2}],[]]}`, `{"a":[[{"b":1}],[]]}`},
		"null, false and 0 are kept": {"a,b,c", `{"a":null,"b":false,"c":0,"d":1}`, `{"a":null,"b":false,"c":0}`},
		"a large number stays":       {"id", `{"id":9223372036854775807}`, `{"id":9223372036854775807}`},
		"case matters":               {"Kind", list, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := parseFields(c.fields)
			if err != nil {
				t.Fatal(err)
			}
			picked, err := m.of(json.RawMessage(c.doc))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(t, c.want), encode(t, picked)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFields_Refused(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]string{
		"white space": "kind, items", "a blank": " ", "empty path": "a,,b", "ends with a comma": "a,", "begins with one": ",a",
		"empty step": "a//b", "ends with a slash": "a/", "begins with a slash": "/a", "empty parentheses": "a()", "not closed": "a(b",
		"closed twice": "a(b))", "closed only": ")", "no name before": "(a)", "a step after": "a(b)/c", "a name after": "a(b)c",
		"two stars": "**", "a star in a name": "a*", "other characters": "a=b", "control": "a\x00", "not ASCII": "é", "not UTF-8": "\xff",
		"too long":  strings.Repeat("a", maxFieldsLength+1),
		"too deep":  strings.Repeat("a/", maxFieldsDepth) + "a",
		"deep ()":   strings.Repeat("a(", maxFieldsDepth) + "a" + strings.Repeat(")", maxFieldsDepth),
		"too many":  strings.Repeat("a,", maxFieldsPaths) + "a",
		"too deep*": strings.Repeat("*/", 1000) + "a",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseFields(fields)
			var e *apiError
			if !errors.As(err, &e) || e.code != http.StatusBadRequest || e.reason != "invalidParameter" || e.status != "INVALID_ARGUMENT" {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestFields_BoundsAreReached(t *testing.T) {
	t.Parallel()
	many := make([]string, maxFieldsPaths)
	for n := range many {
		many[n] = fmt.Sprintf("f%d", n)
	}
	for _, fields := range []string{
		strings.Repeat("a", maxFieldsLength), strings.Repeat("a/", maxFieldsDepth-1) + "a", strings.Join(many, ","),
	} {
		if _, err := parseFields(fields); err != nil {
			t.Errorf("%.30s…: %v", fields, err)
		}
	}
}

func TestFields_String(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]string{
		"": "", "b,a": "a,b", "a(b)": "a/b", "a/b,a/c": "a(b,c)", "a(b(c(d,e)))": "a/b/c(d,e)", "a/b,a": "a", "x,*": "*,x", "a,a": "a",
	} {
		m, err := parseFields(fields)
		if err != nil || m.String() != want {
			t.Errorf("%q: %q, %v; want %q", fields, m, err, want)
		}
	}
}

// Whatever the parameter and the document: no panic; text and mask say the same; a mask taken twice is the
// mask taken once; and an answer holds nothing that the document does not.
func FuzzFields(f *testing.F) {
	const list = `{"kind":"l","items":[{"id":"1","error":{"code":"X"}},{}],"a":[[],[{"b":1}],1,null],"*":{"b":{"*":2}}}`
	for _, fields := range []string{"", "*", "items/id", "items(id,error/code),kind", "a/*/b", "a/b,a", "*/*,*/b/*", "a(b", "a)", "a(b)/c", "\xff", "a,*(b,*(c))"} {
		f.Add(fields, list)
	}
	f.Fuzz(func(t *testing.T, fields, doc string) {
		m, err := parseFields(fields)
		if err != nil {
			var e *apiError
			if !errors.As(err, &e) || e.code != http.StatusBadRequest {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		again, err := parseFields(m.String())
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%q is %q is %q, %v", fields, m, again, err)
		}
		if !json.Valid([]byte(doc)) {
			return
		}
		once, err := m.of(json.RawMessage(doc))
		if err != nil {
			return // nested deeper than encoding/json reads
		}
		if _, raw := once.(json.RawMessage); raw {
			return // no mask
		}
		if twice := m.apply(once); !reflect.DeepEqual(once, twice) {
			t.Fatalf("%q once %s, twice %s", fields, encode(t, once), encode(t, twice))
		}
		whole, err := mask{"*": nil}.of(json.RawMessage(`{"doc":` + doc + `}`))
		if err != nil {
			return
		}
		if all := whole.(map[string]any)["doc"]; !partOf(once, all) {
			t.Fatalf("%q of %s: %s", fields, doc, encode(t, once))
		}
	})
}

// partOf says whether part is whole with members and elements left out.
func partOf(part, whole any) bool {
	switch p := part.(type) {
	case nil:
		return true
	case map[string]any:
		w, same := whole.(map[string]any)
		for name, member := range p {
			if _, there := w[name]; !there || !partOf(member, w[name]) {
				return false
			}
		}
		return same
	case []any:
		w, same := whole.([]any)
		for _, element := range p {
			for len(w) > 0 && !partOf(element, w[0]) {
				w = w[1:]
			}
			if len(w) == 0 {
				return false
			}
			w = w[1:]
		}
		return same
	}
	return reflect.DeepEqual(part, whole)
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return normal(t, string(b))
}

// normal is a document with its members sorted.
func normal(t *testing.T, doc string) string {
	t.Helper()
	m := mask{"doc": nil}
	v, err := m.of(json.RawMessage(`{"doc":` + doc + `}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v.(map[string]any)["doc"])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
