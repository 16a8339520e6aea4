package cloudsql

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDepth is how deep objects and lists of a body may be nested, as in Google's own parsers.
const maxDepth = 100

// body is a JSON object that a client sent, read by the proto3 JSON mapping (cloudsql.md 2.1). Its methods
// take a member by its lowerCamel name and find the snake_case form too. A member of the wrong type reads
// as absent and is kept as the error of the whole document, so that a method asks err once, at the end.
// Members that nobody asks for are ignored (PD-10).
type body struct {
	present bool // the member is there; always so at the top
	null    bool // it is there as null, which clears it in a patch
	path    string
	members map[string]json.RawMessage // by lowerCamel name
	first   *error                     // shared by all objects of a document
}

// member is one value of a body. Absent, null and a value are three things: a patch leaves alone, clears
// or sets, and an explicit false is a value (cloudsql.md 8).
type member[T any] struct {
	present, null bool
	value         T // zero unless given
}

// given says whether there is a value.
func (m member[T]) given() bool { return m.present && !m.null }

// or is the value, or what stands for none.
func (m member[T]) or(absent T) T {
	if m.given() {
		return m.value
	}
	return absent
}

// readBody reads a body whose size http.MaxBytesReader bounds. An empty one is an object without members.
// Its errors are *apiError: too large, or parseError for what is not JSON, or invalid for another type
// than an object.
func readBody(r io.Reader) (*body, error) {
	raw, err := io.ReadAll(r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge
	case err != nil:
		return nil, parseError("The body ended early.")
	}
	b := &body{present: true, first: new(error)}
	if raw = bytes.Trim(raw, " \t\r\n"); len(raw) == 0 {
		return b, nil
	}
	switch {
	case !utf8.Valid(raw):
		return nil, parseError("The body is not UTF-8.")
	case depth(raw) > maxDepth:
		return nil, parseError("The body is nested deeper than 100.")
	case !json.Valid(raw):
		return nil, parseError("Expected a JSON object.")
	case raw[0] != '{':
		return nil, wrongType("The body is not a JSON object.")
	}
	b.open(raw)
	return b, b.err()
}

func wrongType(message string) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "invalid", status: "INVALID_ARGUMENT", message: message}
}

// depth is how deep brackets are nested in raw, outside of strings.
func depth(raw []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// open takes the members of a valid object apart. One that is there twice, be it in two spellings, is kept
// as nil and refused when it is asked for: a client that says two things cannot be served with one of them.
func (b *body) open(raw json.RawMessage) {
	b.members = map[string]json.RawMessage{}
	d := json.NewDecoder(bytes.NewReader(raw))
	_, err := d.Token() // {
	for err == nil && d.More() {
		var name json.Token
		var value json.RawMessage
		if name, err = d.Token(); err == nil {
			err = d.Decode(&value)
		}
		key := lowerCamel(name)
		if _, twice := b.members[key]; twice {
			value = nil
		}
		b.members[key] = value
	}
	if err != nil {
		b.fail("The body is not a JSON object.")
	}
}

// lowerCamel is a member's name by the rule of proto3 JSON: an underscore goes, and the letter after it is
// upper case.
func lowerCamel(name json.Token) string {
	s, _ := name.(string)
	head, rest, more := strings.Cut(s, "_")
	for more {
		var part string
		part, rest, more = strings.Cut(rest, "_")
		if part != "" && part[0] >= 'a' && part[0] <= 'z' {
			part = string(part[0]-'a'+'A') + part[1:]
		}
		head += part
	}
	return head
}

// err is the first value of the wrong type in the document that was asked for.
func (b *body) err() error { return *b.first }

func (b *body) fail(message string) {
	if *b.first == nil {
		*b.first = wrongType(message)
	}
}

func (b *body) at(name string) string {
	if b.path == "" {
		return name
	}
	return b.path + "." + name
}

// object is the object that a member is; without members where it is absent or null.
func (b *body) object(name string) *body {
	m := read(b, name, "an object", func(raw json.RawMessage) (json.RawMessage, bool) { return raw, raw[0] == '{' })
	o := &body{present: m.present, null: m.null, path: b.at(name), first: b.first}
	if m.given() {
		o.open(m.value)
	}
	return o
}

func (b *body) text(name string) member[string] {
	return read(b, name, "a string", unquote)
}

func (b *body) flag(name string) member[bool] {
	return read(b, name, "true or false", func(raw json.RawMessage) (bool, bool) {
		return raw[0] == 't', raw[0] == 't' || raw[0] == 'f'
	})
}

// int32 reads a number or a quoted one. 7.0 and 7e0 are integers, 7.5 is none.
func (b *body) int32(name string) member[int32] {
	return read(b, name, "an int32", func(raw json.RawMessage) (int32, bool) {
		n, ok := integer(raw, 32)
		return int32(n), ok
	})
}

// int64 is int32 for 64 bits.
func (b *body) int64(name string) member[int64] {
	return read(b, name, "an int64", func(raw json.RawMessage) (int64, bool) { return integer(raw, 64) })
}

// time reads an RFC 3339 timestamp of any offset, and gives it in UTC.
func (b *body) time(name string) member[time.Time] {
	return read(b, name, "an RFC 3339 timestamp", func(raw json.RawMessage) (time.Time, bool) {
		s, ok := unquote(raw)
		var at time.Time
		if !ok || at.UnmarshalText([]byte(s)) != nil {
			return at, false
		}
		at = at.UTC()
		return at, at.Year() >= 1 && at.Year() <= 9999
	})
}

// enum reads a value by its name, or by its number: the place of the name in values.
func (b *body) enum(name string, values []string) member[string] {
	names := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" }) // a number that was never given
	return read(b, name, "one of "+strings.Join(names, ", "), func(raw json.RawMessage) (string, bool) {
		if s, quoted := unquote(raw); quoted {
			return s, slices.Contains(names, s)
		}
		if n, ok := integer(raw, 32); ok && n >= 0 && n < int64(len(values)) && values[n] != "" {
			return values[n], true
		}
		return "", false
	})
}

// read gives the member that parse makes of a value; parse says false for what is not of its type.
func read[T any](b *body, name, want string, parse func(json.RawMessage) (T, bool)) member[T] {
	raw, present := b.members[name]
	if !present {
		return member[T]{}
	}
	if raw == nil {
		b.fail("Invalid value at '" + b.at(name) + "', the member is there twice.")
		return member[T]{}
	}
	if raw[0] == 'n' {
		return member[T]{present: true, null: true}
	}
	v, ok := parse(raw)
	if !ok {
		b.fail("Invalid value at '" + b.at(name) + "', expected " + want + ".")
		return member[T]{}
	}
	return member[T]{present: true, value: v}
}

func unquote(raw json.RawMessage) (string, bool) {
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// integer is the whole number that a JSON number is, quoted or not, in whatever notation.
func integer(raw json.RawMessage, bits int) (int64, bool) {
	text := string(raw)
	if s, quoted := unquote(raw); quoted {
		text = s
	}
	abs, negative := strings.CutPrefix(text, "-")
	if abs == "" || abs[0] < '0' || abs[0] > '9' || !json.Valid([]byte(text)) || strings.TrimSpace(text) != text {
		return 0, false
	}
	mantissa, exponent, scaled := strings.Cut(strings.ToLower(abs), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimRight(whole+fraction, "0")
	if strings.Trim(digits, "0") == "" {
		return 0, true
	}
	point := len(whole) // how many digits stand before the decimal point
	if scaled {
		n, err := strconv.Atoi(exponent)
		if err != nil || n > maxBody || n < -maxBody {
			return 0, false
		}
		point += n
	}
	if len(digits) > point || point > len(digits)+len("9223372036854775807") {
		return 0, false // a fraction, or far too large
	}
	digits += strings.Repeat("0", point-len(digits))
	if negative {
		digits = "-" + digits
	}
	n, err := strconv.ParseInt(digits, 10, bits)
	return n, err == nil
}
