package access_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/services/access"
)

func env(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
}

func TestGrants_SayAllMistakesAndNoSecret(t *testing.T) {
	t.Parallel()
	const leak = "bbExampleSecretKey"
	good := access.Grant{Name: "ci@example.com", AccessKey: "AK1", SecretKeyRef: "env:SK", Projects: []string{"shop", "caf\u00e9"}, Permissions: []string{"cloudsql.backupRuns.create", "spanner.*", "gaussdb:backup:*", "*"}}
	g := access.Grants{
		good, good,
		{AccessKey: "a b", SecretKeyRef: leak, SecurityTokenRef: leak},
		{TokenRef: "file:relative" + leak, Projects: []string{"{project_id}", "a\n", strings.Repeat("x", 101)}, Region: "Cn", Permissions: []string{"gaussdb", "*backup", "spanner.*.create", ""}},
		{AccessKey: "k", SecretKeyRef: "env:SK", TokenRef: "env:T", Projects: []string{"p"}},
		{AccessKey: "l", SecretKeyRef: "env:SK", Expires: time.Unix(1, 0), Projects: []string{"p"}},
		{Projects: []string{"p"}},
		{Name: "ci\n", TokenRef: "env:T", Projects: []string{"p", "*"}},
		{TokenRef: "env:T", Projects: []string{"*"}, Region: "eu", Permissions: make([]string, 201)},
		{Name: "AKIAABCDEFGHIJKLMNOP", TokenRef: "env:T", Projects: []string{"cafe\u0301", "shop-*", " shop"}, Permissions: []string{}},
	}
	err := g.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"access[1].accessKey is in an entry before", "access[2].accessKey: letters", "access[2].secretKeyRef is neither", "access[2].securityTokenRef is neither", "access[2].projects: 1 to",
		"access[3].tokenRef is no absolute path", "access[3].projects[0] is no name", "access[3].projects[1] is no name", "access[3].projects[2] is no name", "access[3].region:",
		"access[3].permissions[0] is no", "access[3].permissions[1] is no", "access[3].permissions[2] is no", "access[3].permissions[3] is no",
		"access[4]: has keys and a token", "access[5].expires is of a token", "access[6].tokenRef is missing", "access[7].name: ", "access[7].projects[1] is no name",
		"access[8].region:", "access[8].permissions: 1 to", "access[6].permissions: 1 to", "access[1].name is that of an entry before",
		"access[9].name: like no secret", "access[9].projects[0] is no name", "access[9].projects[1] is no name", "access[9].projects[2] is no name", "access[9].permissions: 1 to",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), leak) || strings.Contains(err.Error(), "access[0]") {
		t.Error(err)
	}
	if err := (access.Grants{good}).Validate(); err != nil {
		t.Error(err)
	}
	if err := make(access.Grants, 1001).Validate(); err == nil {
		t.Error("any number of entries")
	}
}

func TestGrants_CheckKnowsWhatDoorsAskFor(t *testing.T) {
	t.Parallel()
	known := []string{"cloudsql.backupRuns.create", "gaussdb:backup:list"}
	of := func(permissions ...string) access.Grants { return access.Grants{{Permissions: permissions}} }
	for _, good := range []string{"cloudsql.backupRuns.create", "cloudsql.backupRuns.*", "cloudsql.*", "*", "gaussdb:backup:*", "gaussdb:*"} {
		if err := of(good).Check(known); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"cloudsql.backupRuns.creat", "cloudsql.backupRuns", "cloudsql.backup*", "spanner.*", "gaussdb.backup.*"} {
		if err := of("*", bad).Check(known); err == nil || !strings.Contains(err.Error(), "access[0].permissions[1]") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestOpen_SecretsAreReadAtTheStart(t *testing.T) {
	t.Parallel()
	g := access.Grants{{AccessKey: "AK1", SecretKeyRef: "env:SK", Projects: []string{"p"}, Permissions: []string{"*"}}}
	for name, values := range map[string]map[string]string{"not set": {}, "empty": {"SK": " "}} {
		if _, err := access.Open(g, env(values)); err == nil || !strings.Contains(err.Error(), "access[0].secretKeyRef") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpen_TokensThatDoNotFit(t *testing.T) {
	t.Parallel()
	const good, short = "0123456789abcdef", "0123456789abcde"
	entry := func(name string) access.Grant {
		return access.Grant{TokenRef: "env:" + name, Projects: []string{"p"}, Permissions: []string{"*"}}
	}
	key := access.Grant{AccessKey: "AK1", SecretKeyRef: "env:SK", Projects: []string{"p"}, Permissions: []string{"*"}}
	_, err := access.Open(access.Grants{entry("A"), key, entry("B"), entry("C"), entry("D")},
		env(map[string]string{"A": good, "B": " " + good + "\n", "C": short, "D": good + "!", "SK": "secret"}))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"access[2].tokenRef: the token is that of an entry before", "access[3].tokenRef: the token has less than 16 bytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), short) || strings.Count(err.Error(), "access[") != 2 {
		t.Error(err)
	}
}

func TestRing_WithoutGrantsAnybodyMayDoEverything(t *testing.T) {
	t.Parallel()
	empty, err := access.Open(nil, env(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*access.Ring{nil, empty} {
		who, err := r.Bearer("whatever it is", time.Now())
		if err != nil || !r.Anyone() || !who.May("p", "cloudsql.instances.get") || who.Name() != "" {
			t.Errorf("%v, %v", who, err)
		}
	}
	if nobody := (access.Caller{}); nobody.In("p") || nobody.Holds("x") || access.From(t.Context()).May("p", "x") {
		t.Error("the zero caller may do something")
	}
}

func TestRing_Tokens(t *testing.T) {
	t.Parallel()
	const one, two = "0123456789abcdef", "fedcba9876543210"
	until := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	ring, err := access.Open(access.Grants{
		{Name: "ci", TokenRef: "env:ONE", Projects: []string{"shop", "other"}, Region: "eu-1", Expires: until, Permissions: []string{"cloudsql.backupRuns.*", "spanner.backups.get", "gaussdb:backup:list"}},
		{TokenRef: "env:TWO", Projects: []string{"*"}, Permissions: []string{"*"}},
		{AccessKey: "AK1", SecretKeyRef: "env:SK", Projects: []string{"shop", "caf\u00e9"}, Permissions: []string{"*"}},
	}, env(map[string]string{"ONE": one, "TWO": two, "SK": "secret"}))
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]error{"": access.ErrMissing, "0123456789abcdeg": access.ErrUnknown, one + " ": access.ErrUnknown, "secret": access.ErrUnknown} {
		if who, err := ring.Bearer(token, until.Add(-1)); !errors.Is(err, want) || who.In("shop") {
			t.Errorf("%q: %v", token, err)
		}
	}
	ci, err := ring.Bearer(one, until.Add(-1))
	if err != nil || ci.Name() != "ci" {
		t.Fatalf("%v, %v", ci, err)
	}
	for name, want := range map[string]bool{"cloudsql.backupRuns.create": true, "cloudsql.backupRuns": false, "cloudsql.backupRunsX.create": false, "cloudsql.instances.get": false,
		"spanner.backups.get": true, "spanner.backups.getIamPolicy": false, "gaussdb:backup:list": true, "gaussdb:backup:listPolicy": false} {
		if got := ci.May("shop", name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !ci.May("other", "spanner.backups.get") || !ci.Holds("x", "spanner.backups.get") || ci.May("third", "spanner.backups.get") || ci.May("*", "spanner.backups.get") {
		t.Error("the projects are wrong")
	}
	if projects, region := ci.Projects(); len(projects) != 2 || region != "eu-1" {
		t.Error(projects, region)
	}
	var expired *access.ExpiredError
	if _, err := ring.Bearer(one, until); !errors.As(err, &expired) || !expired.At.Equal(until) {
		t.Error(err)
	}
	all, err := ring.Bearer(two, until)
	if projects, _ := all.Projects(); err != nil || !all.May("anything", "spanner.backups.delete") || projects != nil || !strings.HasPrefix(all.Name(), "bearer:") {
		t.Errorf("%v, %v", all, err)
	}
	key, ok := ring.Key("AK1")
	if !ok || key.Secret.Reveal() != "secret" || !key.Token.None() || !key.Caller.May("shop", "gaussdb:backup:list") || !strings.HasPrefix(key.Caller.Name(), "ak:") {
		t.Error("the pair of keys is wrong")
	}
	if !key.Caller.In("cafe\u0301") || !key.Caller.In("caf\u00e9") || key.Caller.In("cafe") || key.Caller.Everywhere() || !all.Everywhere() || !ci.Expires().Equal(until) || !all.Expires().IsZero() {
		t.Error("projects by their names in any form, or times, are wrong")
	}
	if _, ok := ring.Key("AK2"); ok || ring.Anyone() {
		t.Error("a key that is not there")
	}
}

func TestRing_AdmitSaysWhatToDo(t *testing.T) {
	t.Parallel()
	const one, old = "0123456789abcdef", "fedcba9876543210"
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	ring, err := access.Open(access.Grants{
		{Name: "ci", TokenRef: "env:ONE", Projects: []string{"shop"}, Permissions: []string{"backupbus.backups.*"}},
		{TokenRef: "env:OLD", Projects: []string{"shop"}, Permissions: []string{"*"}, Expires: now},
	}, env(map[string]string{"ONE": one, "OLD": old}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		authorization, project, permission, detail string
		status                                     int
	}{
		{"Bearer " + one, "shop", "backupbus.backups.get", "", 0}, {"Bearer " + one, "shop", "", "", 0},
		{"", "shop", "", "send a token as Authorization: Bearer", 401}, {"Basic " + one, "shop", "", "send a token as Authorization: Bearer", 401},
		{"Bearer nobody", "shop", "", "the token is not known here: ask for another one", 401},
		{"Bearer " + old, "shop", "", "the token expired at 2026-12-01T00:00:00Z: ask for another one", 401},
		{"Bearer " + one, "other", "backupbus.backups.get", "you may not speak for this project", 403},
		{"Bearer " + one, "shop", "backupbus.events.get", "you do not hold backupbus.events.get", 403},
	} {
		who, denied := ring.Admit(c.authorization, c.project, c.permission, now)
		switch {
		case c.status == 0:
			if denied != nil || who.Name() != "ci" {
				t.Errorf("%+v: %+v", c, denied)
			}
		case denied == nil || denied.Status != c.status || denied.Detail != c.detail || (denied.Reason == "UNAUTHENTICATED") != (c.status == 401):
			t.Errorf("%+v: %+v", c, denied)
		}
	}
}

func TestFromHeader(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{"Bearer abc": "abc", "bearer  abc": "abc", "BEARER a b": "a b", "": "", "Bearer": "", "Basic abc": "", "abc": "", "Bearerabc": ""} {
		if got := access.FromHeader(header); got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
}
