// Package format writes events for people: as messages of chat services and as e-mail. Each begins with one
// line that says outcome, target and place; the event's id is there for who wants to look further.
package format

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/backupbus/backupbus/events"
)

// Formats are the names that protocolsettings.format may have, besides cloudevent.
var Formats = []string{"slack", "teams", "discord"}

const jsonType = "application/json"

// Chat is the body of one chat service's incoming webhook.
type Chat struct {
	name string
	wrap func(m Message) any
}

// Of finds a format by its name; false for cloudevent and for a name that there is not.
func Of(name string) (Chat, bool) {
	wrap, ok := map[string]func(Message) any{"slack": slack, "teams": teams, "discord": discord}[name]
	return Chat{name, wrap}, ok
}

// Body is what is signed and sent for an event.
func (c Chat) Body(ev events.Event) ([]byte, error) { return json.Marshal(c.wrap(MessageOf(ev))) }

// ContentType of the body.
func (Chat) ContentType() string { return jsonType }

// Form names the body: that of this chat service.
func (c Chat) Form() string { return c.name }

// Message is an event in words.
type Message struct {
	Line    string // outcome, target, place
	Details []Detail
	Bad     bool // somebody should look
}

// Detail is one named fact.
type Detail struct{ Name, Value string }

// facts are what the messages take from any event's data.
type facts struct {
	Instance string `json:"instance"`
	Database string `json:"database"`
	Provider string `json:"provider"`
	Project  string `json:"project"`
	Name     string `json:"name"`
	Location string `json:"location"`
	Size     int64  `json:"sizeBytes"`
	Duration int64  `json:"durationMs"`
	Attempt  int    `json:"attempt"`
	Sink     string `json:"sinkOrigin"`
	Message  string `json:"message"`
	Target   struct {
		Instance string `json:"instance"`
	} `json:"target"`
	Error   *events.Failure `json:"error"`
	Overdue *struct {
		LateByMs int64 `json:"lateByMs"`
	} `json:"overdue"`
	Skip *struct {
		Reason string `json:"reason"`
	} `json:"skip"`
	Copies []struct {
		Storage string `json:"storage"`
	} `json:"copies"`
}

// MessageOf puts an event into words. Data that cannot be read is left out.
func MessageOf(ev events.Event) Message {
	var f facts
	_ = json.Unmarshal(ev.Data, &f) // the line still says what happened
	m := Message{Bad: ev.Severity >= events.Warn, Line: line(ev, f)}
	add := func(name, v string) {
		if v != "" {
			m.Details = append(m.Details, Detail{name, clean(v)})
		}
	}
	if f.Error != nil {
		add("Error", string(f.Error.Code)+": "+f.Error.Message)
	}
	if f.Size > 0 {
		add("Size", size(f.Size))
	}
	if f.Duration > 0 {
		add("Took", took(f.Duration))
	}
	if f.Overdue != nil {
		add("Late by", took(f.Overdue.LateByMs))
	}
	if f.Skip != nil {
		add("Because", f.Skip.Reason)
	}
	add("Note", f.Message)
	add("Event", ev.ID)
	if !ev.Time.IsZero() {
		add("Time", events.At(ev.Time).String())
	}
	return m
}

// line is outcome, target and place: "Backup failed: orders-db (mysql) in project shop".
func line(ev events.Event, f facts) string {
	entity, step := string(ev.Entity()), strings.ReplaceAll(string(ev.Step()), "_", " ")
	what := strings.TrimSpace(strings.ToUpper(entity[:min(1, len(entity))]) + entity[min(1, len(entity)):] + " " + step)
	target := f.Instance
	switch {
	case f.Database != "":
		target += "/" + f.Database
	case f.Target.Instance != "":
		target += " to " + f.Target.Instance
	case target == "":
		target = f.Sink
	}
	if target == "" {
		target = ev.Subject
	}
	if f.Provider != "" {
		target += " (" + f.Provider + ")"
	}
	place := "project " + f.Project
	if len(f.Copies) > 0 {
		place += ", storage " + f.Copies[0].Storage
	}
	if f.Location != "" {
		place += ", " + f.Location
	}
	return clean(fmt.Sprintf("%s: %s in %s", what, target, place))
}

// maxText bounds one text, so that no service refuses the message for its length.
const maxText = 500

// clean is text in one line.
func clean(s string) string {
	return events.Clip(strings.Join(strings.Fields(events.Redact(s)), " "), maxText)
}

func size(n int64) string {
	v, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && v >= 1024 {
		v, units = v/1024, units[1:]
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + " " + units[0]
}

func took(ms int64) string {
	s := ms / 1000
	switch {
	case s >= 3600:
		return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
	case s >= 60:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	}
	return fmt.Sprintf("%.1f s", float64(ms)/1000)
}
