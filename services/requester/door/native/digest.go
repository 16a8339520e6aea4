package native

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/gowebpki/jcs"
)

// digest is the content of a request as events.md 5.3 compares it: SHA-256 of the RFC 8785 form of type
// and data. Without a key nobody can repeat the request: no digest.
func digest(key, command string, data any) (string, error) {
	if key == "" {
		return "", nil
	}
	b, err := json.Marshal(map[string]any{"type": command, "data": data})
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	canonical, err := jcs.Transform(b)
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}

func escape(segment string) string { return url.PathEscape(segment) }
