package command

import (
	"context"
	"strings"

	"github.com/backupbus/backupbus/events"
)

const (
	replyHeader = "Backupbus-Reply-To"
	replyRoot   = "backupbus.v1.reply."
	maxReplyTo  = 256
)

// replyTo is where a copy may go: a plain subject below the project's own (events.md 5.2). Anything else is ignored.
func replyTo(header map[string][]string, project string) string {
	for name, values := range header {
		if !strings.EqualFold(name, replyHeader) || len(values) != 1 {
			continue
		}
		rest, ok := strings.CutPrefix(values[0], replyRoot+project+".")
		if !ok || len(values[0]) > maxReplyTo {
			return ""
		}
		for token := range strings.SplitSeq(rest, ".") {
			if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == 0x7F || r == '*' || r == '>' }) {
				return ""
			}
		}
		return values[0]
	}
	return ""
}

// reply sends the copy that was asked for. It is a courtesy: the outcome stands in the log.
func (t telling) reply(ctx context.Context, ev events.Event) {
	if t.replyTo == "" {
		return
	}
	if err := t.replies.Tell(ctx, t.replyTo, ev); err != nil {
		t.slog.WarnContext(ctx, "copy of an outcome not sent", "event_id", ev.ID, "error", events.Redact(err.Error()))
	}
}
