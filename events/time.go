package events

import (
	"fmt"
	"time"
)

// Time is a moment as every payload writes it: RFC 3339, UTC with `Z`, three fraction digits, or six for one that
// a caller chose to the microsecond. Reading accepts any offset and precision; what is kept is the microsecond.
type Time struct{ time.Time }

const (
	timeForm  = "2006-01-02T15:04:05.000Z"
	microForm = "2006-01-02T15:04:05.000000Z"
)

// At turns t into a payload time: UTC, cut to the millisecond.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// AtMicro is At for a time that its caller gets back as it was, cut to the microsecond (spanner.md 4.1).
func AtMicro(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// String is the form on the wire.
func (t Time) String() string { return t.UTC().Format(t.form()) }

func (t Time) form() string {
	if t.Nanosecond()%int(time.Millisecond) >= int(time.Microsecond) {
		return microForm
	}
	return timeForm
}

// MarshalJSON writes the form on the wire.
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(`"`+microForm+`"`))
	return append(t.UTC().AppendFormat(append(b, '"'), t.form()), '"'), nil
}

// UnmarshalJSON reads any RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return fmt.Errorf("time %s is not a string", b)
	}
	v, err := time.Parse(time.RFC3339Nano, string(b[1:len(b)-1]))
	if err != nil {
		return fmt.Errorf("time %s is not RFC 3339", b)
	}
	*t = AtMicro(v)
	return nil
}
