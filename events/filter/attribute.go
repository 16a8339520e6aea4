package filter

import (
	"strconv"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Attribute is the canonical string of an event's attribute, as it stands on the wire; false if it is not
// set (events.md 1.1).
func Attribute(ev events.Event, name string) (string, bool) {
	if get, known := attributes[name]; known {
		v := get(ev)
		return v, v != ""
	}
	v := ev.Extra[name]
	return v, v != ""
}

var attributes = map[string]func(events.Event) string{
	"specversion":     func(events.Event) string { return "1.0" },
	"datacontenttype": func(events.Event) string { return "application/json" },
	"id":              func(e events.Event) string { return e.ID },
	"source":          func(e events.Event) string { return e.Source },
	"type":            func(e events.Event) string { return e.Type },
	"subject":         func(e events.Event) string { return e.Subject },
	"time":            func(e events.Event) string { return moment(e.Time) },
	"dataschema":      func(e events.Event) string { return e.DataSchema },
	"sequence":        func(e events.Event) string { return e.Sequence },
	"partitionkey":    func(e events.Event) string { return e.PartitionKey },
	"correlationid":   func(e events.Event) string { return e.CorrelationID },
	"causationid":     func(e events.Event) string { return e.CausationID },
	"traceparent":     func(e events.Event) string { return e.TraceParent },
	"tracestate":      func(e events.Event) string { return e.TraceState },
	"project":         func(e events.Event) string { return e.Project },
	"provider":        func(e events.Event) string { return e.Provider },
	"instance":        func(e events.Event) string { return e.Instance },
	"state":           func(e events.Event) string { return string(e.State) },
	"attempt": func(e events.Event) string {
		if e.Attempt == nil {
			return ""
		}
		return strconv.Itoa(*e.Attempt)
	},
	"severitynumber": func(e events.Event) string {
		if e.Severity == 0 {
			return ""
		}
		return strconv.Itoa(e.Severity)
	},
	"expirytime": func(e events.Event) string { return moment(e.ExpiryTime) },
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return events.At(t).String()
}
