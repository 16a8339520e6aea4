package mysql

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// rowsOf is a dump of one table with rows of a kind.
func rowsOf(kind string) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString("CREATE TABLE `t` (id INT);\n")
	for id := 0; b.Len() < 16<<20; {
		b.WriteString("INSERT INTO `t` VALUES\n")
		for begun := b.Len(); b.Len()-begun < 1<<20; id++ {
			switch kind {
			case "short":
				fmt.Fprintf(&b, "(%d,%d,'2026-01-02 03:04:05',%d.25,NULL),\n", id, r.IntN(1000), r.IntN(1e6))
			case "text":
				fmt.Fprintf(&b, "(%d,'%s\\n it\\'s %d'),\n", id, strings.Repeat("some words, ", 10+r.IntN(40)), id)
			case "hex":
				fmt.Fprintf(&b, "(%d,0x%0500X),\n", id, r.Uint64())
			}
		}
		b.WriteString("(0);\n")
	}
	return b.Bytes()
}

// BenchmarkScan measures what a proof adds to the way of every byte.
func BenchmarkScan(b *testing.B) {
	for _, kind := range []string{"short", "text", "hex"} {
		dump := rowsOf(kind)
		b.Run(kind, func(b *testing.B) {
			b.SetBytes(int64(len(dump)))
			for b.Loop() {
				s := newScan()
				for rest := dump; len(rest) > 0; {
					n := min(256<<10, len(rest))
					_, _ = s.Write(rest[:n])
					rest = rest[n:]
				}
			}
		})
	}
}
