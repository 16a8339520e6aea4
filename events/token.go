package events

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxToken is the longest token that still shows its name; a longer one is a hash (events.md 1.3).
const maxToken = 64

// alphabet is RFC 4648 base32 in lower case without padding: every id and hashed token is written in it.
var alphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ErrToken is returned for a name that has no token and for a token that no name produces.
var ErrToken = errors.New("invalid token")

// Token escapes a raw name into one NATS subject token of at most 64 bytes (events.md 1.3).
//
// Names that differ give tokens that differ. The empty name has no token. A name whose escaped form
// would be longer than 64 bytes becomes a hash, which Untoken cannot reverse.
func Token(name string) (string, error) {
	switch {
	case name == "":
		return "", fmt.Errorf("%w: empty name", ErrToken)
	case !utf8.ValidString(name):
		return "", fmt.Errorf("%w: name is not UTF-8", ErrToken)
	case name == "_":
		return "~5F", nil
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "~%02X", c)
		}
	}
	if b.Len() > maxToken {
		return "~h" + digest(name), nil
	}
	return b.String(), nil
}

// Untoken gives the raw name back. Hashed tokens (`~h…`) and tokens that Token never writes are ErrToken.
func Untoken(token string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c != '~' {
			b.WriteByte(c)
			continue
		}
		if i+2 >= len(token) {
			return "", fmt.Errorf("%w: %q ends inside an escape", ErrToken, token)
		}
		hi, ok1 := unhex(token[i+1])
		lo, ok2 := unhex(token[i+2])
		if !ok1 || !ok2 {
			return "", fmt.Errorf("%w: %q is hashed or badly escaped", ErrToken, token)
		}
		b.WriteByte(hi<<4 | lo)
		i += 2
	}
	if again, err := Token(b.String()); err != nil || again != token {
		return "", fmt.Errorf("%w: %q is not in canonical form", ErrToken, token)
	}
	return b.String(), nil
}

func plain(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// digest is the first 26 base32 characters (130 bits) of the SHA-256 of s.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	var b [64]byte // room for 32 bytes in base32
	return string(alphabet.AppendEncode(b[:0], sum[:])[:26])
}
