package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// CommandRoot is the root of the subjects on which outsiders ask for something (events.md 4.2).
const CommandRoot = "backupbus.v1.command"

// Verb is what a command asks for: the last token of its subject and the last word of its type.
type Verb string

// The verbs of events.md 5.1.
const (
	CreateBackup  Verb = "create"
	CancelBackup  Verb = "cancel"
	DeleteBackup  Verb = "delete"
	VerifyBackup  Verb = "verify"
	RestoreBackup Verb = "restore"
)

const commandPrefix = typePrefix + "command.backup."

// Type is the attribute `type` of a command of this verb.
func (v Verb) Type() string { return commandPrefix + string(v) + ".v1" }

// Limits of events.md 2.5 and 5.1.
const (
	maxCommandDepth  = 16
	maxCommandID     = 256
	maxCommandSource = 512
)

// Command is a request that came as a CloudEvent (events.md 5.1).
type Command struct {
	Verb       Verb
	Type       string
	Source     string
	ID         string
	ExpiryTime time.Time // zero: never
	Trace      Trace
	Project    string // tokens, as the attributes have them; empty if they do not say
	Provider   string
	Instance   string
	Data       json.RawMessage
	Body       CommandBody
}

// Origin is S and K of the request (events.md 1.4).
func (c Command) Origin() Origin { return Origin{Source: c.Source, Key: c.ID} }

// Cause is what the events that a command leads to say of it.
func (c Command) Cause(requestID string) (Cause, error) {
	id, err := Token(c.ID)
	return Cause{CorrelationID: requestID, CausationID: id, Trace: c.Trace}, err
}

// ReadCommand reads a command in binary or structured mode. The error is a *Rejection; what could be read of the
// envelope, enough to name the request if ID and Source are set, is returned with it.
func ReadCommand(header map[string][]string, body []byte) (Command, error) {
	if size := wireSize(header, body); size > MaxMessage {
		return Command{}, rejectf(TooLarge, "the message has %d bytes, at most %d are allowed: send less", size, MaxMessage)
	}
	e, rejected := readEnvelope(header, body)
	if rejected != nil {
		return Command{}, rejected
	}
	c := Command{Type: e.Type, Source: e.Source, ID: e.ID, ExpiryTime: e.ExpiryTime, Trace: trace(e),
		Project: e.Project, Provider: e.Provider, Instance: e.Instance, Data: e.Data}
	if v := commandAttributes(e); len(v) > 0 {
		// A name that breaks its bounds names nothing: the refusal stands under the message.
		return Command{Type: Clip(c.Type, 255)}, &Rejection{Reason: MalformedEvent, Violations: v,
			Message: "attributes of the command are out of bounds: mend them and send it again"}
	}
	if err := attributeSizes(e); err != nil {
		return c, rejectf(TooLarge, "%s: send less", err)
	}
	if specVersion(header, body) != "1.0" {
		return c, rejectf(UnsupportedSpecVersion, "specversion is not 1.0: send a CloudEvent 1.0")
	}
	verb, ok := strings.CutPrefix(c.Type, commandPrefix)
	verb, current := strings.CutSuffix(verb, ".v1")
	if !ok || !current || !slices.Contains([]Verb{CreateBackup, CancelBackup, DeleteBackup, VerifyBackup, RestoreBackup}, Verb(verb)) {
		return c, rejectf(UnsupportedType, "the type is no command of this version: %s and its siblings are", CreateBackup.Type())
	}
	c.Verb = Verb(verb)
	var err error
	if c.Body, err = readCommandData(c.Verb, e.Data); err != nil {
		return c, err
	}
	if rejected := secretAttributes(e); rejected != nil {
		return c, rejected
	}
	return c, nil
}

// readEnvelope is Parse with what commands need beyond it. An event of another specversion is read as if it were
// 1.0, so that the refusal can name it.
func readEnvelope(header map[string][]string, body []byte) (Event, *Rejection) {
	malformed := func(why string) *Rejection {
		return rejectf(MalformedEvent, "no CloudEvent 1.0 with JSON data: %s", why)
	}
	if !utf8.Valid(body) {
		return Event{}, malformed("the body is not UTF-8")
	}
	if hasBase64(body) {
		return Event{}, malformed("data_base64 is not accepted")
	}
	if v := specVersion(header, body); v != "1.0" && v != "" {
		header, body = asVersionOne(header, body)
	}
	e, err := parse(header, body)
	if err != nil {
		return Event{}, malformed(Clip(plainWords(err), 200))
	}
	for _, a := range attributes {
		if v := a.get(&e); strings.ContainsFunc(v, unicode.IsControl) {
			return Event{}, malformed("attribute " + a.name + " contains a control character")
		}
	}
	for name, v := range e.Extra {
		if strings.ContainsFunc(v, unicode.IsControl) || !extensionName(name) {
			return Event{}, malformed("an extension attribute has a bad name or a control character")
		}
	}
	return e, nil
}

// plainWords is why a message is unreadable, in words that show nothing of it.
func plainWords(err error) string {
	for _, known := range []error{errBatch, errNoEvent, errNotCloudEvent, errNotJSONData} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if i := strings.IndexByte(err.Error(), '"'); i >= 0 {
		return strings.TrimRight(err.Error()[:i], " ") + " is not one that is read here"
	}
	return Redact(err.Error())
}

// commandAttributes holds the envelope against events.md 5.1.
func commandAttributes(e Event) (out []Violation) {
	if n := utf8.RuneCountInString(e.ID); n > maxCommandID {
		out = append(out, Violation{"/id", "maxLength", fmt.Sprintf("at most %d characters", maxCommandID)})
	}
	if n := utf8.RuneCountInString(e.Source); n > maxCommandSource {
		out = append(out, Violation{"/source", "maxLength", fmt.Sprintf("at most %d characters", maxCommandSource)})
	}
	return out
}

// attributeSizes are the bounds of events.md 2.5.
func attributeSizes(e Event) error {
	total := 0
	check := func(name, v string) error {
		total += len(name) + len(v)
		if len(v) > maxAttribute {
			return fmt.Errorf("an attribute has %d bytes, at most %d are allowed", len(v), maxAttribute)
		}
		return nil
	}
	for _, a := range attributes {
		if err := check(a.name, a.get(&e)); err != nil {
			return err
		}
	}
	for name, v := range e.Extra {
		if err := check(name, v); err != nil {
			return err
		}
	}
	switch {
	case total > maxAttributes:
		return fmt.Errorf("the attributes have %d bytes, at most %d are allowed", total, maxAttributes)
	case len(e.Data) > MaxData:
		return fmt.Errorf("data has %d bytes, at most %d are allowed", len(e.Data), MaxData)
	}
	return nil
}

// secretAttributes: what looks like a credential is not taken in attributes either. It would end in events.
func secretAttributes(e Event) *Rejection {
	for _, v := range slices.Concat(slices.Collect(maps.Values(e.Extra)), []string{e.ID, e.Source, e.Subject, e.TraceState}) {
		if HasSecret(v) {
			return rejectf(ForbiddenContent, "an attribute contains what looks like a credential; it was not stored: send the command without it")
		}
	}
	return nil
}

// trace takes what is well-formed (events.md 1.1).
func trace(e Event) Trace {
	t := Trace{Parent: e.TraceParent, State: e.TraceState}
	if !traceParentForm.MatchString(t.Parent) {
		return Trace{}
	}
	if len(t.State) > 512 || strings.ContainsFunc(t.State, func(r rune) bool { return r < 0x21 || r > 0x7E || r == '"' || r == '%' }) {
		t.State = ""
	}
	return t
}
