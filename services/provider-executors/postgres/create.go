package postgres

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The object databases.sql: for psql the statements that make the databases, for the engine the same as one
// comment line each.
const (
	databasesHead = "-- Databases of a backupbus copy, to be made before their dumps are loaded. Existing ones are left alone.\n"
	databaseLine  = "-- backupbus: "
	databasesEnd  = "-- End of the databases.\n"
)

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

func literal(s string) string {
	q := strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) { // right whatever standard_conforming_strings says
		return " E'" + strings.ReplaceAll(q, `\`, `\\`) + "'"
	}
	return "'" + q + "'"
}

func writeDatabases(w io.Writer, all []database, major int) error {
	var b bytes.Buffer
	b.WriteString(databasesHead)
	for _, d := range all {
		doc, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("describe a database: %w", err)
		}
		fmt.Fprintf(&b, "\n%s%s\n%s;\n", databaseLine, doc, d.create(d.Name, d.Owner, major))
		for _, statement := range d.dress(d.Name) {
			b.WriteString(statement + ";\n")
		}
	}
	b.WriteString("\n" + databasesEnd)
	_, err := w.Write(b.Bytes())
	return err
}

var errNoEnd = errors.New("the end mark is missing")

func readDatabases(doc []byte) ([]database, error) {
	if !bytes.HasSuffix(doc, []byte(databasesEnd)) {
		return nil, errNoEnd
	}
	var all []database
	for line := range strings.Lines(string(doc)) {
		text, ok := strings.CutPrefix(line, databaseLine)
		if !ok {
			continue
		}
		var d database
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			return nil, fmt.Errorf("line of a database: %w", err)
		}
		all = append(all, d)
	}
	return all, nil
}

// create makes d under a name on a server of a major version. Only template0 takes another encoding or
// locale than its own, and from 15 on it may have another provider than libc, which was the only one before.
func (d database) create(name, owner string, major int) string {
	s := fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 ENCODING %s LC_COLLATE %s LC_CTYPE %s",
		ident(name), literal(d.Encoding), literal(d.Collate), literal(d.CType))
	switch d.Provider {
	case "i":
		s += " LOCALE_PROVIDER icu ICU_LOCALE " + literal(d.Locale)
	case "", "c":
		if major >= 15 {
			s += " LOCALE_PROVIDER libc"
		}
	case "b":
		s += " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + literal(d.Locale)
	}
	if owner != "" {
		s += " OWNER " + ident(owner)
	}
	return s
}

// dress gives a database, under a name, the rights, settings and comment of d.
func (d database) dress(name string) []string {
	db := ident(name)
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if d.ConnLimit != -1 {
		add("ALTER DATABASE %s CONNECTION LIMIT %d", db, d.ConnLimit)
	}
	for _, s := range d.Settings {
		whose := "DATABASE " + db
		if s.Role != "" {
			whose = "ROLE " + ident(s.Role) + " IN DATABASE " + db
		}
		add("ALTER %s SET %s TO %s", whose, s.name(), s.value())
	}
	if d.Private {
		add("REVOKE ALL ON DATABASE %s FROM PUBLIC", db)
		add("REVOKE ALL ON DATABASE %s FROM %s", db, ident(d.Owner))
	}
	for _, g := range d.Grants {
		add("%s", g.statement(db))
	}
	if d.Comment != "" {
		add("COMMENT ON DATABASE %s IS %s", db, literal(d.Comment))
	}
	return all
}

// rights are what aclexplode can say of a database.
var rights = []string{"CREATE", "CONNECT", "TEMPORARY"}

func (g grant) statement(db string) string {
	to := "PUBLIC"
	if g.To != "" {
		to = ident(g.To)
	}
	right := g.Right
	if !slices.Contains(rights, right) { // the text comes from a stored object
		right = "CONNECT"
	}
	s := fmt.Sprintf("GRANT %s ON DATABASE %s TO %s", right, db, to)
	if g.Option {
		s += " WITH GRANT OPTION"
	}
	return s
}

// lists are the settings whose value is a list, which the server keeps quoted.
var lists = []string{
	"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
}

// quotedList is a list as the server keeps it: names, some in quotes.
var quotedList = regexp.MustCompile(`^ *("([^"]|"")*"|[A-Za-z0-9_$./-]+)( *, *("([^"]|"")*"|[A-Za-z0-9_$./-]+))* *$`)

func (s setting) value() string {
	if slices.Contains(lists, strings.ToLower(s.Name)) && quotedList.MatchString(s.Value) {
		return s.Value
	}
	return literal(s.Value)
}

// name quotes each part of a name such as app.tenant.
func (s setting) name() string { return pgx.Identifier(strings.Split(s.Name, ".")).Sanitize() }

// roles are those that d itself and its objects name.
func (d database) roles() []string {
	all := slices.Concat(d.Roles, []string{d.Owner})
	for _, g := range d.Grants {
		all = append(all, g.To)
	}
	for _, s := range d.Settings {
		all = append(all, s.Role)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(r string) bool { return r == "" || r == "public" || strings.HasPrefix(r, "pg_") })
}
