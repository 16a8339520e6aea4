package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// span is a length of time in whole seconds, as a person writes it: 90s, 4h30m, 7d, 2w. It is a flag and a value in
// YAML.
type span int64

var _ yaml.Unmarshaler = (*span)(nil)

const (
	daySeconds = 24 * 60 * 60
	mostDays   = 100 * 366
)

// Set implements pflag.Value.
func (s *span) Set(text string) error {
	bad := fmt.Errorf("%q is no length of time: write 90s, 4h30m, 7d or 2w", text)
	for unit, days := range map[string]int64{"d": 1, "w": 7} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil || n < 0 || n > mostDays/days {
				return bad
			}
			*s = span(n * days * daySeconds)
			return nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d%time.Second != 0 {
		return bad
	}
	*s = span(d / time.Second)
	return nil
}

// Type implements pflag.Value.
func (s *span) Type() string { return "duration" }

// String is the span in its largest whole unit; nothing for none.
func (s *span) String() string {
	switch n := int64(*s); {
	case n == 0:
		return ""
	case n%daySeconds == 0:
		return strconv.FormatInt(n/daySeconds, 10) + "d"
	case n%3600 == 0:
		return strconv.FormatInt(n/3600, 10) + "h"
	case n%60 == 0:
		return strconv.FormatInt(n/60, 10) + "m"
	default:
		return strconv.FormatInt(n, 10) + "s"
	}
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *span) UnmarshalYAML(n *yaml.Node) error {
	if err := s.Set(n.Value); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

// spanText is a span of so many seconds in words.
func spanText(seconds int64) string {
	s := span(seconds)
	return s.String()
}
