package filter

import (
	"strings"
	"testing"
)

var item = map[string]string{
	"name": "orders-db", "type": "ON_DEMAND", "size": "1048576", "location": "",
	"create_time": "2026-03-26T15:40:07.722Z", "settings.tier": "db-n1",
}

func get(path string) (string, bool) { v, ok := item[path]; return v, ok }

func known(path string) bool { _, ok := item[path]; return ok }

func TestFilter_Matches(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"":                                     true,
		"  ":                                   true,
		"name:orders-db":                       true,
		"name:other":                           false,
		"name=orders-db":                       true,
		`name="orders-db"`:                     true,
		`name = "ORDERS-DB"`:                   true,
		"name:orders*":                         true,
		"name:*-db":                            true,
		"name:*ders*":                          true,
		"name:*":                               true,
		"location:*":                           false,
		`location=""`:                          true,
		"location!=eu":                         true,
		"name:orders-db type:ON_DEMAND":        true,
		"name:orders-db AND type:FINAL":        false,
		"name:x OR type=ON_DEMAND":             true,
		"NOT name:x":                           true,
		"-name:x":                              true,
		"name!=x":                              true,
		`instance_is_no_field`:                 false,
		"size>1000":                            true,
		"size<1000":                            false,
		"size >= 1048576":                      true,
		`create_time > "2026-01-01T00:00:00Z"`: true,
		`create_time > "2026-03-26T17:40:07+02:00"`:                             true,
		"create_time < 2026-03-26T15:40:07Z":                                    false,
		`create_time >= "2026-03-26T15:40:07.722Z" AND settings.tier:db-n1`:     true,
		`(name:x OR type:ON_DEMAND) AND NOT (size<10)`:                          true,
		`create_time > "yesterday"`:                                             false,
		`create_time > timestamp("2026-01-01T00:00:00Z") AND settings.tier:db*`: true,
	} {
		f, err := Parse(text, known)
		if text == "instance_is_no_field" {
			if err == nil {
				t.Errorf("%s: no comparison, and accepted", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := f.Match(get); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestFilter_RefusesWhatItCannotMean(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"secret:x", "name:", "AND", "name:a AND", "(name:a", `name:"a`, "name", "f(name)", "name:(a OR b)", "1:2",
		strings.Repeat("(", 60) + "name:a" + strings.Repeat(")", 60), "name:" + strings.Repeat("a", MaxLength), strings.Repeat("-", 500) + "name:a",
		"name:\xff",
	} {
		if _, err := Parse(text, known); err == nil {
			t.Errorf("%.60q was accepted", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"name:orders-db", `a.b="c" AND NOT (d<1 OR e:*)`, `name:"\"" x`, "-a:b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text, known)
		if err == nil {
			p.Match(get) // does not panic
		}
	})
}
