package postgres

import (
	"regexp"
	"slices"
	"strings"
)

// statements splits a script of pg_dumpall: at each semicolon that stands in no quotes, comments dropped.
// In its E” strings a quote is doubled as everywhere, so a backslash needs no care.
func statements(script string) []string {
	var all []string
	var one strings.Builder
	for i := 0; i < len(script); i++ {
		switch c := script[i]; {
		case c == '\'' || c == '"':
			end := strings.IndexByte(script[i+1:], c)
			if end < 0 {
				end = len(script) - i - 2
			}
			one.WriteString(script[i : i+end+2])
			i += end + 1
		case c == '-' && strings.HasPrefix(script[i:], "--"):
			end := strings.IndexByte(script[i:], '\n')
			if end < 0 {
				end = len(script) - i
			}
			i += end - 1
		case c == ';':
			all = append(all, strings.TrimSpace(one.String()))
			one.Reset()
		default:
			one.WriteByte(c)
		}
	}
	return all
}

// words splits a statement at blanks outside of quotes, and takes the quotes of names away.
func words(statement string) []string {
	var all []string
	var one strings.Builder
	quoted, inside := false, false
	end := func() {
		if inside {
			all = append(all, one.String())
		}
		one.Reset()
		inside = false
	}
	for i := 0; i < len(statement); i++ {
		switch c := statement[i]; {
		case c == '"' && quoted && i+1 < len(statement) && statement[i+1] == '"':
			one.WriteByte(c)
			i++
		case c == '"':
			quoted, inside = !quoted, true
		case !quoted && (c == ' ' || c == '\n' || c == '\t' || c == ','):
			end()
		default:
			one.WriteByte(c)
			inside = true
		}
	}
	end()
	return all
}

// grantor is the end of a GRANT that names who gave the right.
var grantor = regexp.MustCompile(`\s+GRANTED BY ("([^"]|"")*"|[^\s"]+)$`)

// withoutGrantor lets whoever runs the statement be the one who grants: from version 16 on, the one that a
// script names must have been given the right to before.
func withoutGrantor(statement string) string {
	if strings.HasPrefix(statement, "GRANT ") {
		return grantor.ReplaceAllString(statement, "")
	}
	return statement
}

// roleOf is the role that a statement of the globals makes, changes or gives something to; made tells
// which. Empty: it is about something else.
func roleOf(statement string) (role string, made bool) {
	w := words(statement)
	at := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	switch {
	case at(0) == "CREATE" && at(1) == "ROLE":
		return at(2), true
	case at(0) == "ALTER" && at(1) == "ROLE":
		return at(2), false
	case at(0) == "COMMENT" && at(2) == "ROLE":
		return at(3), false
	case at(0) == "GRANT":
		if i := slices.Index(w, "TO"); i >= 0 && !slices.Contains(w[:i], "TABLESPACE") {
			return at(i + 1), false
		}
	}
	return "", false
}
