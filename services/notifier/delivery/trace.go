package delivery

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"
)

var traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// hop is the traceparent of one request: the trace of the event, or a new one, and a span of its own.
func hop(parent string) string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	trace, flags := hex.EncodeToString(b[8:]), "00"
	if parent != "" && traceparent.MatchString(parent) {
		trace, flags = parent[3:35], parent[53:]
	}
	return "00-" + trace + "-" + hex.EncodeToString(b[:8]) + "-" + flags
}
