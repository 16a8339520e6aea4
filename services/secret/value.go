package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
)

// Value is a secret that cannot be printed, logged or encoded. The zero value is none.
type Value struct{ reveal func() string } // in a closure, where reflection does not reach

// Of makes a Value of what Read gave.
func Of(text string) Value { return Value{func() string { return text }} }

// Reveal is the secret, for the one place that needs it; empty if there is none.
func (v Value) Reveal() string {
	if v.reveal == nil {
		return ""
	}
	return v.reveal()
}

// None tells that there is no secret.
func (v Value) None() bool { return v.reveal == nil }

// Is tells whether the secret is this text, in a time that says nothing of either.
func (v Value) Is(text string) bool {
	ours, theirs := sha256.Sum256([]byte(v.Reveal())), sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(ours[:], theirs[:]) == 1 && !v.None()
}

const masked = "[secret]"

// String implements fmt.Stringer.
func (Value) String() string { return masked }

// GoString implements fmt.GoStringer.
func (Value) GoString() string { return masked }

// Format implements fmt.Formatter, so that no verb shows the secret.
func (Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// MarshalText implements encoding.TextMarshaler, and so keeps the secret out of JSON, YAML and slog.
func (Value) MarshalText() ([]byte, error) { return []byte(masked), nil }
