package mysql

import (
	"errors"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
)

func TestLoadable_EndsTheDumpAtARowThatNoServerTakes(t *testing.T) {
	t.Parallel()
	row := func(n int) string { return "(1,0x" + strings.Repeat("0", n-len("(1,0x)")) + ")" }
	for name, c := range map[string]struct {
		dump string
		fits bool
	}{
		"nothing":              {"", true},
		"small rows":           {strings.Repeat("INSERT INTO `t` VALUES\n"+row(50)+",\n"+row(60)+";\n", 100), true},
		"largest":              {"INSERT INTO `t` VALUES\n" + row(100) + "\n;\n", true},
		"one more":             {"INSERT INTO `t` VALUES\n" + row(101) + "\n;\n", false},
		"in the middle":        {"a;\nb;\n" + row(150) + "\nc;\n", false},
		"at once":              {row(101), false},
		"at the end":           {"a;\n" + row(101), false},
		"many small, no break": {"a;\n" + strings.Repeat(row(20)+",", 10), false}, // a statement of MySQL's is one line
	} {
		for _, piece := range []int{1, 2, 7, 99, 100, 101, 102, 103, 1000, 1 << 20} {
			l := &loadable{limit: 100}
			var err error
			for rest := c.dump; len(rest) > 0 && err == nil; {
				n := min(piece, len(rest))
				_, err = l.Write([]byte(rest[:n]))
				rest = rest[n:]
			}
			var f *events.Failure
			if c.fits != (err == nil) || err != nil && (!errors.As(err, &f) || f.Code != events.ProviderRejected || f.Retryable) {
				t.Errorf("%s in pieces of %d: %v", name, piece, err)
			}
		}
	}
}
