package host

import (
	"io"
	"log/slog"

	"github.com/backupbus/backupbus/events"
)

// NewLogger writes text, or JSON, from a level on (debug, info, warn, error; anything else is info).
// Whatever is redacted in events is redacted here, by the same function.
func NewLogger(w io.Writer, level string, asJSON bool) *slog.Logger {
	var l slog.Level
	if l.UnmarshalText([]byte(level)) != nil {
		l = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: l, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindString {
			a.Value = slog.StringValue(events.Redact(a.Value.String()))
		}
		return a
	}}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
