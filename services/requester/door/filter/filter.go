// Package filter reads the filter expressions of Google's list methods (AIP-160) and applies them to what a door
// shows: `instance:orders AND type=ON_DEMAND`, `create_time > "2026-01-01T00:00:00Z"`. Doors share it; what
// fields there are, they say.
//
// The grammar is that of go.einride.tech/aip/filtering. A word stands for its own text: `state:READY` compares
// with READY. Numbers are compared as numbers, RFC 3339 times as times, all else as text; `:` and `=` do not mind
// the case, and a `*` at an end of the value matches any text.
package filter

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.einride.tech/aip/filtering"
	expr "google.golang.org/genproto/googleapis/api/expr/v1alpha1"
)

// Bounds of what is read.
const (
	MaxLength = 2048 // bytes
	maxDepth  = 50
)

// Filter decides on one item. The zero Filter takes every item.
type Filter struct{ root *expr.Expr }

// Fields tells the value of a field by its path with dots, as `settings.tier`; known is false for one that
// the items do not have.
type Fields func(path string) (value string, known bool)

// Parse reads a filter. known tells whether items have a field; the error names one that they have not, or
// says where the grammar is broken, and is safe to show.
func Parse(text string, known func(path string) bool) (Filter, error) {
	if len(text) > MaxLength {
		return Filter{}, fmt.Errorf("the filter has %d bytes, at most %d are read", len(text), MaxLength)
	}
	if strings.TrimSpace(text) == "" {
		return Filter{}, nil
	}
	if strings.Count(text, "(") > maxDepth || strings.Count(text, "-")+strings.Count(text, "NOT") > maxDepth {
		return Filter{}, errors.New("the filter is nested too deeply")
	}
	var p filtering.Parser
	p.Init(quoteWords(text))
	parsed, err := p.Parse()
	if err != nil {
		return Filter{}, fmt.Errorf("the filter cannot be read: %w", err)
	}
	f := Filter{parsed.GetExpr()}
	return f, check(f.root, known, 0)
}

// Match applies the filter.
func (f Filter) Match(fields Fields) bool { return f.root == nil || match(f.root, fields) }

func check(e *expr.Expr, known func(string) bool, depth int) error {
	call := e.GetCallExpr()
	if call == nil || depth > maxDepth {
		return errors.New("the filter is not made of comparisons: use field:value, AND, OR, NOT and parentheses")
	}
	switch fn := call.GetFunction(); fn {
	case filtering.FunctionAnd, filtering.FunctionFuzzyAnd, filtering.FunctionOr, filtering.FunctionNot:
		for _, a := range call.GetArgs() {
			if err := check(a, known, depth+1); err != nil {
				return err
			}
		}
		return nil
	default:
		if !slices.Contains(comparisons, fn) || len(call.GetArgs()) != 2 {
			return fmt.Errorf("the filter cannot use %q", fn)
		}
		field, ok := path(call.GetArgs()[0])
		if !ok || !known(field) {
			return fmt.Errorf("the filter names the field %q, which cannot be filtered by", field)
		}
		if _, ok := value(call.GetArgs()[1]); !ok {
			return fmt.Errorf("the filter compares %s with what is no value", field)
		}
		return nil
	}
}

var comparisons = []string{filtering.FunctionHas, filtering.FunctionEquals, filtering.FunctionNotEquals, filtering.FunctionLessThan,
	filtering.FunctionLessEquals, filtering.FunctionGreaterThan, filtering.FunctionGreaterEquals}

func match(e *expr.Expr, fields Fields) bool {
	call := e.GetCallExpr()
	args := call.GetArgs()
	switch call.GetFunction() {
	case filtering.FunctionAnd, filtering.FunctionFuzzyAnd:
		return !slices.ContainsFunc(args, func(a *expr.Expr) bool { return !match(a, fields) })
	case filtering.FunctionOr:
		return slices.ContainsFunc(args, func(a *expr.Expr) bool { return match(a, fields) })
	case filtering.FunctionNot:
		return !match(args[0], fields)
	}
	field, _ := path(args[0])
	want, _ := value(args[1])
	got, _ := fields(field)
	return compare(call.GetFunction(), got, want)
}

// path is a field as `a.b.c`.
func path(e *expr.Expr) (string, bool) {
	switch {
	case e.GetIdentExpr() != nil:
		return e.GetIdentExpr().GetName(), true
	case e.GetSelectExpr() != nil:
		operand, ok := path(e.GetSelectExpr().GetOperand())
		return operand + "." + e.GetSelectExpr().GetField(), ok
	case e.GetConstExpr() != nil: // a quoted field
		return e.GetConstExpr().GetStringValue(), true
	}
	return "", false
}

// value is a literal, or a word that stands for itself.
func value(e *expr.Expr) (string, bool) {
	if c := e.GetConstExpr(); c != nil {
		switch k := c.GetConstantKind().(type) {
		case *expr.Constant_StringValue:
			return k.StringValue, true
		case *expr.Constant_Int64Value:
			return fmt.Sprint(k.Int64Value), true
		case *expr.Constant_DoubleValue:
			return fmt.Sprint(k.DoubleValue), true
		case *expr.Constant_BoolValue:
			return fmt.Sprint(k.BoolValue), true
		}
		return "", false
	}
	if c := e.GetCallExpr(); c != nil && (c.GetFunction() == filtering.FunctionTimestamp || c.GetFunction() == filtering.FunctionDuration) && len(c.GetArgs()) == 1 {
		return value(c.GetArgs()[0])
	}
	return path(e)
}

func compare(op, got, want string) bool {
	if op == filtering.FunctionHas && want == "*" {
		return got != ""
	}
	if got == "" && op != filtering.FunctionNotEquals && op != filtering.FunctionEquals {
		return false
	}
	order, ordered := ordering(got, want)
	switch op {
	case filtering.FunctionHas, filtering.FunctionEquals:
		return ordered && order == 0 || like(got, want)
	case filtering.FunctionNotEquals:
		return (!ordered || order != 0) && !like(got, want)
	case filtering.FunctionLessThan:
		return ordered && order < 0
	case filtering.FunctionLessEquals:
		return ordered && order <= 0
	case filtering.FunctionGreaterThan:
		return ordered && order > 0
	}
	return ordered && order >= 0
}

// ordering compares times with times, numbers with numbers, and else text.
func ordering(got, want string) (int, bool) {
	a, aerr := time.Parse(time.RFC3339Nano, got)
	b, berr := time.Parse(time.RFC3339Nano, want)
	if aerr == nil && berr == nil {
		return a.Compare(b), true
	}
	m, merr := strconv.ParseInt(got, 10, 64)
	n, nerr := strconv.ParseInt(want, 10, 64)
	if merr == nil && nerr == nil {
		return cmp.Compare(m, n), true
	}
	x, xerr := strconv.ParseFloat(got, 64)
	y, yerr := strconv.ParseFloat(want, 64)
	if xerr == nil && yerr == nil {
		return cmp.Compare(x, y), true
	}
	return strings.Compare(got, want), aerr != nil && xerr != nil // a time or a number has no order with what is none
}

// like is equality without case; a star at an end of want stands for any text.
func like(got, want string) bool {
	got, want = strings.ToLower(got), strings.ToLower(want)
	before, after := strings.HasPrefix(want, "*"), strings.HasSuffix(want, "*")
	bare := strings.Trim(want, "*")
	switch {
	case before && after:
		return strings.Contains(got, bare)
	case before:
		return strings.HasSuffix(got, bare)
	case after:
		return strings.HasPrefix(got, bare)
	}
	return got == want
}

// quoteWords puts words that hold - or : after a comparison into quotes, as `instance:orders-db` or a bare time:
// Google's services read them as one value, the grammar does not.
func quoteWords(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"' || c == '\'':
			end := i + 1
			for end < len(text) && text[end] != c {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			end = min(end+1, len(text))
			b.WriteString(text[i:end])
			i = end
		case strings.IndexByte(":=<>", c) >= 0:
			b.WriteByte(c)
			i++
			for i < len(text) && (text[i] == ' ' || text[i] == '=') {
				b.WriteByte(text[i])
				i++
			}
			end := i
			for end < len(text) && strings.IndexByte(" \t\r\n()\"',", text[end]) < 0 {
				end++
			}
			if word := text[i:end]; strings.ContainsAny(word, "-:*./") && !strings.Contains(word, `\`) {
				b.WriteString(`"` + word + `"`)
			} else {
				b.WriteString(word)
			}
			i = end
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}
