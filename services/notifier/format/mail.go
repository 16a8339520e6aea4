package format

import (
	"strings"

	"github.com/backupbus/backupbus/events"
)

// Mail is an event as an e-mail: its first line is the subject, the text follows.
func Mail(ev events.Event) string {
	m := MessageOf(ev)
	var b strings.Builder
	b.WriteString(m.Line + "\n\n" + m.Line + "\n\n")
	for _, d := range m.Details {
		b.WriteString(d.Name + ": " + d.Value + "\n")
	}
	return b.String()
}
