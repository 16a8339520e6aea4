package lifecycle

import (
	"fmt"
	"strings"

	"github.com/backupbus/backupbus/events"
)

// Diagram prints the part of the table that belongs to an entity as a Mermaid state diagram.
func Diagram(e events.Entity) string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	for _, t := range table {
		if t.Entity != e {
			continue
		}
		for _, from := range t.From {
			to, source := t.To, string(from)
			if to == Unchanged {
				to = from
			}
			if from == None {
				source = "[*]"
			}
			label := string(t.Step)
			if t.When != "" && (from == Overdue || !strings.HasPrefix(t.When, "OVERDUE")) {
				label += " (" + t.When + ")"
			}
			fmt.Fprintf(&b, "    %s --> %s: %s\n", source, to, strings.ReplaceAll(label, ":", ","))
		}
	}
	return b.String()
}
