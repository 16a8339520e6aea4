package command

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/gowebpki/jcs"
)

// Digest is the content of a request as events.md 5.3 compares it: SHA-256 of the RFC 8785 form of type and data.
func Digest(commandType string, data any) (string, error) {
	b, err := json.Marshal(map[string]any{"type": commandType, "data": data})
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
