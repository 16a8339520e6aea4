package gaussdb_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/services/requester/door/gaussdb"
	"github.com/backupbus/backupbus/services/requester/intake"
)

func TestConfig_SaysAllMistakesAndNoSecret(t *testing.T) {
	t.Parallel()
	const leak = "bbExampleSecretKey"
	good := gaussdb.Access{AccessKey: ak, SecretKeyRef: "env:SK", Projects: []string{project}}
	c := gaussdb.Config{Access: []gaussdb.Access{
		good, good,
		{AccessKey: "a b", SecretKeyRef: leak, SecurityTokenRef: leak},
		{TokenRef: "file:relative" + leak, Projects: []string{"{project_id}", "a\n", strings.Repeat("x", 101)}, Region: "Cn", Actions: []string{"gaussdb:backup:fly", "backup:create"}},
		{AccessKey: "k", SecretKeyRef: "env:SK", TokenRef: "env:T", Projects: []string{"p"}},
		{AccessKey: "l", SecretKeyRef: "env:SK", Expires: time.Unix(1, 0), Projects: []string{"p"}},
		{Projects: []string{"p"}},
	}}
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"access[1].accessKey is in an entry before", "access[2].accessKey: letters", "access[2].secretKeyRef is neither", "access[2].securityTokenRef is neither", "access[2].projects: 1 to",
		"access[3].tokenRef is no absolute path", "access[3].projects[0] is no name", "access[3].projects[1] is no name", "access[3].projects[2] is no name", "access[3].region:",
		"access[3].actions[0] is none", "access[3].actions[1] is none", "access[4]: has keys and a token", "access[5].expires is of a token", "access[6].tokenRef is missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), leak) {
		t.Errorf("a secret in %v", err)
	}
	if err := (gaussdb.Config{Access: []gaussdb.Access{good}}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfig_SecretsAreReadAtTheStart(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	in := intake.New(nil, nil, time.Now, log, intake.Config{})
	for name, env := range map[string]map[string]string{"not set": {}, "empty": {"SK": " "}} {
		_, err := gaussdb.New(in, time.Now, log, granted, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		if err == nil || !strings.Contains(err.Error(), "access[0].secretKeyRef") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfig_TokensThatDoNotFit(t *testing.T) {
	t.Parallel()
	const good, short = "0123456789abcdef", "0123456789abcde"
	log := slog.New(slog.DiscardHandler)
	in := intake.New(nil, nil, time.Now, log, intake.Config{})
	entry := func(name string) gaussdb.Access {
		return gaussdb.Access{TokenRef: "env:" + name, Projects: []string{project}}
	}
	key := gaussdb.Access{AccessKey: ak, SecretKeyRef: "env:SK", Projects: []string{project}}
	env := map[string]string{"A": good, "B": " " + good + "\n", "C": short, "D": good + "!", "SK": sk}
	_, err := gaussdb.New(in, time.Now, log, gaussdb.Config{Access: []gaussdb.Access{entry("A"), key, entry("B"), entry("C"), entry("D")}},
		func(name string) (string, bool) { v, ok := env[name]; return v, ok })
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
