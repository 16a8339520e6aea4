package spanner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Whatever appears at the head of a list while its pages are read, each item comes once.
func TestGather_WhileTheListGrows(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 3} {
		var list []string // sorted
		for n := range 7 {
			list = append(list, fmt.Sprintf("m%d", n))
		}
		want, newer := slices.Clone(list), 0
		fetch := func(cursor string, limit int) ([]string, string, error) {
			list = append([]string{fmt.Sprintf("a%03d", 999-newer)}, list...)
			newer++
			from, _ := slices.BinarySearch(list, cursor+"\x00")
			part := list[from:]
			if len(part) > limit {
				return part[:limit], part[limit-1], nil
			}
			return part, "", nil
		}
		var got []string
		for p, pages := (page{size: size}), 0; pages < 20; pages++ {
			out, next, err := gather(p, func(s string) string { return s }, fetch, func(s string) (string, bool, error) { return s, strings.HasPrefix(s, "m"), nil })
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, out...)
			if p.cursor = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v, want %v", size, got, want)
		}
	}
}
