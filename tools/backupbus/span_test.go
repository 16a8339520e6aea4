package main

import "testing"

func TestSpan_ReadsWhatItPrints(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"90s": 90, "90m": 5400, "4h30m": 16200, "7d": 604800, "2w": 1209600, "0s": 0, "36600d": 3162240000} {
		var s span
		if err := s.Set(text); err != nil || int64(s) != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
		if printed := s.String(); printed != "" {
			var again span
			if err := again.Set(printed); err != nil || again != s {
				t.Errorf("%s prints %s, which reads %d, %v", text, printed, again, err)
			}
		}
	}
	for _, text := range []string{"", "7", "-1h", "-1d", "1.5s", "1.5d", "d", "36601d", "9223372036854775807w", "soon"} {
		var s span
		if err := s.Set(text); err == nil {
			t.Errorf("%q reads %d", text, s)
		}
	}
}
