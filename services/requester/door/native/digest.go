package native

import (
	"net/url"

	"github.com/backupbus/backupbus/services/requester/door/command"
)

// digest is the content of a request as events.md 5.3 compares it. Without a key nobody can repeat the request: no
// digest.
func digest(key, commandType string, data any) (string, error) {
	if key == "" {
		return "", nil
	}
	return command.Digest(commandType, data)
}

func escape(segment string) string { return url.PathEscape(segment) }
