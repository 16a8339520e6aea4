package spanner

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// The filter language of spanner.md 5. It is not that of AIP-160, which package filter reads for Cloud SQL: AND binds
// tighter than OR here, a field may be called @type, and `:` looks for a part of a text.

// Bounds of what is read.
const (
	maxFilter = 4096 // bytes
	maxNested = 50
)

// fieldBytes are what the path of a field is made of.
const fieldBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@"

var errFilter = errors.New("the filter cannot be read")

// expr decides on one item; nil takes every one.
type expr func(item) bool

// item is what a filter is applied to.
type item interface {
	// values of a field by its path; none if the item does not have it.
	values(path string) []string
}

// schema says what fields there are. of is their kind, known false if there is none of that path.
type schema interface {
	of(path string) (kind kind, known bool)
}

// kind is how values of a field compare.
type kind struct {
	kind protoreflect.Kind
	time bool
	list bool
	enum protoreflect.EnumDescriptor
}

type parser struct {
	text   string
	fields schema
	depth  int
	order
}

// order is what has been read of one operand of OR: a metadata field without metadata.@type before it, and that.
type order struct{ metadata, typed bool }

// parseFilter reads a filter for items of a schema.
func parseFilter(text string, fields schema) (expr, error) {
	if len(text) > maxFilter || !validText(text) {
		return nil, errFilter
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	p := &parser{text: text, fields: fields}
	e, err := p.expr()
	if err != nil {
		return nil, err
	}
	if p.space(); p.text != "" {
		return nil, errFilter
	}
	return e, nil
}

func (p *parser) space() { p.text = strings.TrimLeft(p.text, " \t\r\n") }

// keyword takes a word that stands alone, in any case.
func (p *parser) keyword(word string) bool {
	p.space()
	if len(p.text) < len(word) || !strings.EqualFold(p.text[:len(word)], word) {
		return false
	}
	if rest := p.text[len(word):]; rest != "" && strings.IndexByte(" \t\r\n(", rest[0]) < 0 {
		return false
	}
	p.text = p.text[len(word):]
	return true
}

func (p *parser) expr() (expr, error) {
	if p.depth++; p.depth > maxNested {
		return nil, errFilter
	}
	defer func() { p.depth-- }()
	before := p.order
	left, err := p.seq()
	all := p.order
	for err == nil && p.keyword("OR") {
		var right expr
		a := left
		p.order = before
		right, err = p.seq()
		left = func(i item) bool { return a(i) || right(i) }
		all = order{all.metadata || p.metadata, all.typed && p.typed}
	}
	p.order = all
	return left, err
}

func (p *parser) seq() (expr, error) {
	left, err := p.factor()
	for err == nil {
		if !p.keyword("AND") {
			p.space()
			rest := *p
			if p.text == "" || p.text[0] == ')' || rest.keyword("OR") {
				break
			}
		}
		var right expr
		a := left
		right, err = p.factor()
		left = func(i item) bool { return a(i) && right(i) }
	}
	return left, err
}

func (p *parser) factor() (expr, error) {
	if p.keyword("NOT") {
		if p.depth++; p.depth > maxNested {
			return nil, errFilter
		}
		defer func() { p.depth-- }()
		e, err := p.factor()
		return func(i item) bool { return !e(i) }, err
	}
	p.space()
	if rest, ok := strings.CutPrefix(p.text, "("); ok {
		p.text = rest
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		p.space()
		if rest, ok = strings.CutPrefix(p.text, ")"); !ok {
			return nil, errFilter
		}
		p.text = rest
		return e, nil
	}
	return p.test()
}

func (p *parser) test() (expr, error) {
	end := 0
	for end < len(p.text) && strings.IndexByte(fieldBytes, p.text[end]) >= 0 {
		end++
	}
	if end == 0 || end == len(p.text) {
		return nil, errFilter
	}
	path := snakePath(p.text[:end])
	p.text = p.text[end:]
	p.space()
	var op string
	for _, o := range []string{"<=", ">=", "!=", "<", ">", "=", ":"} {
		if rest, ok := strings.CutPrefix(p.text, o); ok {
			op, p.text = o, rest
			break
		}
	}
	k, known := p.fields.of(path)
	if op == "" || !known || !p.inOrder(path) {
		return nil, errFilter
	}
	want, quoted, err := p.value()
	if err != nil {
		return nil, err
	}
	if want == "*" && !quoted && op == ":" {
		return func(i item) bool { return len(i.values(path)) > 0 }, nil
	}
	match, err := k.compare(op, want)
	if err != nil {
		return nil, err
	}
	return func(i item) bool {
		for _, v := range i.values(path) {
			if match(v) {
				return true
			}
		}
		return false
	}, nil
}

// inOrder holds that metadata.@type comes before any other field of the metadata (spanner.md 5). A filter without
// it may name them all the same.
func (p *parser) inOrder(path string) bool {
	if path == "metadata.@type" {
		p.typed = true
		return !p.metadata
	}
	if strings.HasPrefix(path, "metadata.") && !p.typed {
		p.metadata = true
	}
	return true
}

// value is a quoted text, or a word up to white space or a parenthesis.
func (p *parser) value() (text string, quoted bool, err error) {
	p.space()
	if p.text == "" {
		return "", false, errFilter
	}
	if q := p.text[0]; q == '"' || q == '\'' {
		var b strings.Builder
		for i := 1; i < len(p.text); i++ {
			switch c := p.text[i]; {
			case c == '\\' && i+1 < len(p.text):
				i++
				b.WriteByte(p.text[i])
			case c == q:
				p.text = p.text[i+1:]
				return b.String(), true, nil
			default:
				b.WriteByte(c)
			}
		}
		return "", false, errFilter
	}
	end := strings.IndexAny(p.text, " \t\r\n)")
	if end < 0 {
		end = len(p.text)
	}
	text, p.text = p.text[:end], p.text[end:]
	if text == "" || strings.ContainsAny(text, `("'`) {
		return "", false, errFilter
	}
	return text, false, nil
}

// compare makes the test of one value. What cannot be compared with the field is an error.
func (k kind) compare(op, want string) (func(string) bool, error) {
	ordered := func(compare func(string) int) (func(string) bool, error) {
		return func(v string) bool {
			c := compare(v)
			return map[string]bool{"<": c < 0, ">": c > 0, "<=": c <= 0, ">=": c >= 0, "!=": c != 0, "=": c == 0, ":": c == 0}[op]
		}, nil
	}
	switch {
	case k.time:
		at, err := time.Parse(time.RFC3339Nano, want)
		if err != nil {
			return nil, errFilter
		}
		return ordered(func(v string) int {
			got, _ := time.Parse(time.RFC3339Nano, v)
			return got.Compare(at)
		})
	case k.kind == protoreflect.MessageKind:
		return nil, errFilter // a message is there or not: field:*
	case k.kind == protoreflect.BoolKind:
		if b, err := strconv.ParseBool(strings.ToLower(want)); err != nil || len(want) == 1 {
			return nil, errFilter
		} else if op != "=" && op != ":" && op != "!=" {
			return nil, errFilter
		} else {
			want = strconv.FormatBool(b)
		}
	case k.enum != nil:
		if k.enum.Values().ByName(protoreflect.Name(strings.ToUpper(want))) == nil || strings.ContainsAny(op, "<>") {
			return nil, errFilter
		}
	case k.kind == protoreflect.StringKind:
		if op == ":" {
			low := strings.ToLower(want)
			return func(v string) bool { return strings.Contains(strings.ToLower(v), low) }, nil
		}
	default:
		n, err := strconv.ParseInt(want, 10, 64)
		if err != nil {
			return nil, errFilter
		}
		return ordered(func(v string) int {
			got, _ := strconv.ParseInt(v, 10, 64)
			switch {
			case got < n:
				return -1
			case got > n:
				return 1
			}
			return 0
		})
	}
	return ordered(func(v string) int { return strings.Compare(strings.ToLower(v), strings.ToLower(want)) })
}
