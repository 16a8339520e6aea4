package postgres

import (
	"strings"
	"testing"
)

func TestCreate_NamesTheProviderWhereAnotherCouldBeMeant(t *testing.T) {
	t.Parallel()
	for provider, want := range map[string][2]bool{"c": {false, true}, "": {false, true}, "i": {false, false}} {
		d := database{Name: "a", Encoding: "UTF8", Collate: "C", CType: "C", Provider: provider, Locale: "und"}
		for i, major := range []int{14, 15} {
			if got := strings.Contains(d.create("a", "", major), "LOCALE_PROVIDER libc"); got != want[i] {
				t.Errorf("provider %q on %d: %s", provider, major, d.create("a", "", major))
			}
		}
	}
}

func TestStatements_LoseTheirGrantor(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`GRANT a TO b GRANTED BY c`: `GRANT a TO b`,
		`GRANT a TO b WITH ADMIN OPTION, INHERIT TRUE GRANTED BY "the ""boss"""`: `GRANT a TO b WITH ADMIN OPTION, INHERIT TRUE`,
		`GRANT a TO "x GRANTED BY y"`:                                            `GRANT a TO "x GRANTED BY y"`,
		`COMMENT ON ROLE a IS 'was GRANTED BY him'`:                              `COMMENT ON ROLE a IS 'was GRANTED BY him'`,
	} {
		if got := withoutGrantor(in); got != want {
			t.Errorf("%s became %s", in, got)
		}
	}
}
