package postgres

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/secret"
)

func testEngine(t testing.TB) *Engine {
	t.Helper()
	e, err := New(Deps{Now: time.Now}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAddress_SaysHowTheConnectionIsProtected(t *testing.T) {
	t.Parallel()
	e := testEngine(t)
	for address, want := range map[string]string{
		"db.example.org:5432":              "verify-full",
		"10.0.0.7:5432":                    "verify-full",
		"[2001:db8::1]:5432":               "verify-full",
		"localhost:5432":                   "disable",
		"127.0.0.1:5432":                   "disable",
		"[::1]:5432":                       "disable",
		"/run/postgresql/.s.PGSQL.5432":    "disable",
		"localhost.example.org:5432":       "verify-full",
		"/run/with space's/.s.PGSQL.65535": "disable",
	} {
		s, err := e.server(events.InstanceConfig{Address: address, User: "u"})
		if err != nil || s.sslMode() != want {
			t.Errorf("%s: %s, %v", address, s.sslMode(), err)
		}
	}
	s, err := e.server(events.InstanceConfig{Address: "localhost:1", User: "u", TLS: &events.InstanceTLS{Mode: events.TLSRequire}})
	if err != nil || s.sslMode() != "require" {
		t.Errorf("%s, %v", s.sslMode(), err)
	}
}

func TestAddress_ThatIsNotOneServerIsRejected(t *testing.T) {
	t.Parallel()
	e := testEngine(t)
	for _, address := range []string{
		"", "host", ":5432", "host:", "host:0", "host:65536", "host:x", "a,b:5432", "host' user='x:5432", "-h:5432", "host name:5432",
		"relative/.s.PGSQL.5432", "/run/postgresql", "/run/.s.PGSQL.0", "/run/a,b/.s.PGSQL.5432", "postgresql://host:5432",
	} {
		_, err := e.server(events.InstanceConfig{Address: address, User: "u"})
		if err == nil {
			t.Errorf("%q was accepted", address)
			continue
		}
		executortest.WantCode(t, err, events.ProviderRejected)
	}
	_, err := e.server(events.InstanceConfig{Address: "host:1"})
	executortest.WantCode(t, err, events.ProviderRejected)
}

func TestAddress_PasswordFileAndConninfoEscapeWhatTheirFormsMean(t *testing.T) {
	t.Parallel()
	s := server{host: `/run/it's \ here`, port: 1, user: `a' host='b`, mode: events.TLSDisable, secret: secret.Of(`a:b\c`), timeout: 10 * time.Second}
	want := `host='/run/it\'s \\ here' port='1' user='a\' host=\'b' dbname='x=\'{0\}' connect_timeout='10' gssencmode='disable' sslmode='disable'`
	if diff := cmp.Diff(want, s.conninfo(`x='{0}`)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(`*:*:*:*:a\:b\\c`+"\n", s.passfile()); diff != "" {
		t.Error(diff)
	}
}

func TestScript_StatementsEndAtSemicolonsOutsideOfQuotes(t *testing.T) {
	t.Parallel()
	script := "-- a comment; 'with' \"quotes\nCREATE ROLE \"a;\"\"b\";\nALTER ROLE x WITH PASSWORD 'it''s; -- none';\nCOMMENT ON ROLE x IS  E'back\\\\slash;\nline';\n\nGRANT \"a\" TO x;\n--\n-- end\n"
	want := []string{`CREATE ROLE "a;""b"`, `ALTER ROLE x WITH PASSWORD 'it''s; -- none'`, "COMMENT ON ROLE x IS  E'back\\\\slash;\nline'", `GRANT "a" TO x`}
	got := statements(script)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	var roles []string
	for _, s := range got {
		role, made := roleOf(s)
		if made {
			role += "!"
		}
		roles = append(roles, role)
	}
	if diff := cmp.Diff([]string{`a;"b!`, "x", "x", "x"}, roles); diff != "" {
		t.Error(diff)
	}
	for _, s := range []string{`SET client_encoding = 'UTF8'`, `CREATE TABLESPACE t LOCATION '/x'`, `GRANT CREATE ON TABLESPACE t TO x`} {
		if role, _ := roleOf(s); role != "" {
			t.Errorf("%s is about role %s", s, role)
		}
	}
}
