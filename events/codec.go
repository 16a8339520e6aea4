package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	ce "github.com/cloudevents/sdk-go/v2/event"
)

// ErrUnreadable is returned for bytes that are no CloudEvent that this bus can use. The message says why
// and holds nothing of the payload.
var ErrUnreadable = errors.New("unreadable event")

const jsonType = "application/json"

// attribute ties an attribute's name to its field: the one list that both codecs go by.
type attribute struct {
	name string
	get  func(*Event) string
	set  func(*Event, string) error
}

func text(name string, field func(*Event) *string) attribute {
	return attribute{name,
		func(e *Event) string { return *field(e) },
		func(e *Event, v string) error { *field(e) = v; return nil }}
}

func moment(name string, field func(*Event) *time.Time) attribute {
	return attribute{name,
		func(e *Event) string {
			if field(e).IsZero() {
				return ""
			}
			return At(*field(e)).String()
		},
		func(e *Event, v string) error {
			t, err := time.Parse(time.RFC3339Nano, v)
			if err != nil {
				return fmt.Errorf("%s is not RFC 3339", name)
			}
			*field(e) = t.UTC()
			return nil
		}}
}

var attributes = []attribute{
	text("id", func(e *Event) *string { return &e.ID }),
	text("source", func(e *Event) *string { return &e.Source }),
	text("type", func(e *Event) *string { return &e.Type }),
	text("subject", func(e *Event) *string { return &e.Subject }),
	moment("time", func(e *Event) *time.Time { return &e.Time }),
	text("dataschema", func(e *Event) *string { return &e.DataSchema }),
	text("sequence", func(e *Event) *string { return &e.Sequence }),
	text("partitionkey", func(e *Event) *string { return &e.PartitionKey }),
	text("correlationid", func(e *Event) *string { return &e.CorrelationID }),
	text("causationid", func(e *Event) *string { return &e.CausationID }),
	text("traceparent", func(e *Event) *string { return &e.TraceParent }),
	text("tracestate", func(e *Event) *string { return &e.TraceState }),
	text("project", func(e *Event) *string { return &e.Project }),
	text("provider", func(e *Event) *string { return &e.Provider }),
	text("instance", func(e *Event) *string { return &e.Instance }),
	{"state",
		func(e *Event) string { return string(e.State) },
		func(e *Event, v string) error { e.State = State(v); return nil }},
	{"attempt",
		func(e *Event) string {
			if e.Attempt == nil {
				return ""
			}
			return strconv.Itoa(*e.Attempt)
		},
		func(e *Event, v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return errors.New("attempt is not a number")
			}
			e.Attempt = &n
			return nil
		}},
	{"severitynumber",
		func(e *Event) string {
			if e.Severity == 0 {
				return ""
			}
			return strconv.Itoa(e.Severity)
		},
		func(e *Event, v string) error {
			n, err := strconv.Atoi(v)
			if err != nil {
				return errors.New("severitynumber is not a number")
			}
			e.Severity = n
			return nil
		}},
	moment("expirytime", func(e *Event) *time.Time { return &e.ExpiryTime }),
}

var byName = func() map[string]attribute {
	m := make(map[string]attribute, len(attributes))
	for _, a := range attributes {
		m[a.name] = a
	}
	return m
}()

// Encode writes an event in binary mode: headers and body of a NATS message (events.md 4.1). The map is
// fresh; the body is the event's own data.
func Encode(e Event) (map[string][]string, []byte, error) {
	h := make(map[string][]string, len(attributes)+6)
	h["ce-specversion"] = []string{"1.0"}
	h["ce-datacontenttype"] = []string{jsonType}
	h["content-type"] = []string{jsonType}
	size := 0
	put := func(name, v string) error {
		if v == "" {
			return nil
		}
		v = escapeHeader(v)
		if len(v) > maxAttribute {
			return fmt.Errorf("%w: attribute %s of %s has %d bytes", ErrTooLarge, name, e.ID, len(v))
		}
		size += len(name) + len(v)
		h["ce-"+name] = []string{v}
		return nil
	}
	for _, a := range attributes {
		if err := put(a.name, a.get(&e)); err != nil {
			return nil, nil, err
		}
	}
	for name, v := range e.Extra {
		if err := put(name, v); err != nil {
			return nil, nil, err
		}
	}
	if size > maxAttributes || size+len(e.Data) > MaxMessage-2048 {
		return nil, nil, fmt.Errorf("%w: %s has %d bytes of attributes and %d of data", ErrTooLarge, e.ID, size, len(e.Data))
	}
	return h, e.Data, nil
}

// Parse reads an event in either mode, decided as events.md 4.1 says. Every error is ErrUnreadable.
func Parse(header map[string][]string, body []byte) (Event, error) {
	e, err := parse(header, body)
	if err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return e, nil
}

func parse(header map[string][]string, body []byte) (Event, error) {
	var contentType string
	attrs := map[string]string{}
	for name, values := range header {
		lower := strings.ToLower(name)
		isType := lower == "content-type"
		name, isAttr := strings.CutPrefix(lower, "ce-")
		if !isType && !isAttr {
			continue
		}
		if len(values) != 1 {
			return Event{}, fmt.Errorf("header %s has %d values", lower, len(values))
		}
		if isType {
			contentType = strings.ToLower(strings.TrimSpace(values[0]))
			continue
		}
		if _, twice := attrs[name]; twice {
			return Event{}, fmt.Errorf("header %s is there twice", lower)
		}
		v, err := unescapeHeader(values[0])
		if err != nil {
			return Event{}, fmt.Errorf("header %s: %w", lower, err)
		}
		attrs[name] = v
	}
	switch {
	case strings.HasPrefix(contentType, "application/cloudevents"):
		if strings.HasPrefix(contentType, "application/cloudevents-batch") {
			return Event{}, errBatch
		}
		return parseStructured(body, attrs)
	case attrs["specversion"] != "":
		return parseBinary(attrs, body)
	}
	return parseStructured(body, attrs)
}

func parseBinary(attrs map[string]string, body []byte) (Event, error) {
	if v := attrs["specversion"]; v != "1.0" {
		return Event{}, fmt.Errorf("specversion %q is not 1.0", Clip(v, 20))
	}
	if t := attrs["datacontenttype"]; t != "" && !isJSON(t) {
		return Event{}, fmt.Errorf("datacontenttype %q is not JSON", Clip(t, 80))
	}
	if !json.Valid(body) {
		return Event{}, errNotJSONData
	}
	e := Event{Data: body}
	for name, v := range attrs {
		if err := e.assign(name, v); err != nil {
			return Event{}, err
		}
	}
	return e, e.required()
}

func (e *Event) assign(name, v string) error {
	if name == "specversion" || name == "datacontenttype" {
		return nil
	}
	if a, known := byName[name]; known {
		return a.set(e, v)
	}
	if e.Extra == nil {
		e.Extra = map[string]string{}
	}
	e.Extra[name] = v
	return nil
}

func (e *Event) required() error {
	for _, name := range []string{"id", "source", "type"} {
		if byName[name].get(e) == "" {
			return fmt.Errorf("attribute %s is missing", name)
		}
	}
	return nil
}

// Structured writes an event in JSON structured mode: one line, the bytes that a webhook signs and an
// event stream sends. The same event gives the same bytes: attributes in the order of events.md 1.1, which
// the SDK's encoder does not keep.
func Structured(e Event) ([]byte, error) {
	b := bytes.NewBufferString(`{"specversion":"1.0"`)
	put := func(name, v string) error {
		if v == "" {
			return nil
		}
		if !integer(name) {
			q, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("structure %s: attribute %s: %w", e.ID, name, err)
			}
			v = string(q)
		}
		fmt.Fprintf(b, `,"%s":%s`, name, v)
		return nil
	}
	for _, a := range attributes {
		if err := put(a.name, a.get(&e)); err != nil {
			return nil, err
		}
		if a.name == "time" {
			b.WriteString(`,"datacontenttype":"` + jsonType + `"`)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Extra)) {
		if err := put(name, e.Extra[name]); err != nil {
			return nil, err
		}
	}
	if len(e.Data) > 0 {
		b.WriteString(`,"data":`)
		if err := json.Compact(b, e.Data); err != nil {
			return nil, fmt.Errorf("structure %s: data: %w", e.ID, err)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// integer tells the attributes whose CloudEvents type is Integer.
func integer(name string) bool { return name == "attempt" || name == "severitynumber" }

func parseStructured(body []byte, headers map[string]string) (Event, error) {
	if b := bytes.TrimLeft(body, " \t\r\n"); len(b) == 0 || b[0] != '{' {
		return Event{}, errNoEvent
	}
	var c ce.Event
	if err := json.Unmarshal(body, &c); err != nil {
		return Event{}, errNotCloudEvent
	}
	if c.SpecVersion() != "1.0" {
		return Event{}, fmt.Errorf("specversion %q is not 1.0", Clip(c.SpecVersion(), 20))
	}
	if c.DataBase64 || !isJSON(c.DataContentType()) && c.DataContentType() != "" {
		return Event{}, errNotJSONData
	}
	e := Event{ID: c.ID(), Source: c.Source(), Type: c.Type(), Subject: c.Subject(), Time: c.Time(),
		DataSchema: c.DataSchema(), Data: c.Data()}
	if len(e.Data) > 0 && !json.Valid(e.Data) {
		return Event{}, errNotJSONData
	}
	for name, v := range c.Extensions() {
		if err := e.assign(name, extensionText(v)); err != nil {
			return Event{}, err
		}
	}
	if err := e.required(); err != nil {
		return Event{}, err
	}
	for name, v := range headers {
		a, known := byName[name]
		if known && !sameAttribute(a.name, a.get(&e), v) || name == "specversion" && v != "1.0" {
			return Event{}, fmt.Errorf("header ce-%s contradicts the payload", name)
		}
	}
	return e, nil
}

func sameAttribute(name, a, b string) bool {
	if a == b {
		return true
	}
	if name != "time" && name != "expirytime" {
		return false
	}
	x, err1 := time.Parse(time.RFC3339Nano, a)
	y, err2 := time.Parse(time.RFC3339Nano, b)
	return err1 == nil && err2 == nil && At(x) == At(y)
}

func extensionText(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case int32:
		return strconv.Itoa(int(x))
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

var jsonTypes = regexp.MustCompile(`(?i)^application/([a-z0-9.+-]+\+)?json\s*(;.*)?$`)

func isJSON(contentType string) bool { return jsonTypes.MatchString(contentType) }

// escapeHeader percent-encodes what a header binding must not carry as it is (events.md 4.1).
func escapeHeader(v string) string {
	clean := true
	for i := range len(v) {
		if mustEscape(v[i]) {
			clean = false
			break
		}
	}
	if clean {
		return v
	}
	var b strings.Builder
	for i := range len(v) {
		if mustEscape(v[i]) {
			fmt.Fprintf(&b, "%%%02X", v[i])
		} else {
			b.WriteByte(v[i])
		}
	}
	return b.String()
}

func mustEscape(c byte) bool { return c <= 0x20 || c >= 0x7F || c == '"' || c == '%' }

// unescapeHeader decodes once; a percent sign that starts no escape stays.
func unescapeHeader(v string) (string, error) {
	if strings.IndexByte(v, '%') >= 0 {
		var b strings.Builder
		for i := 0; i < len(v); i++ {
			if v[i] == '%' && i+2 < len(v) {
				if s, err := url.PathUnescape(v[i : i+3]); err == nil {
					b.WriteString(s)
					i += 2
					continue
				}
			}
			b.WriteByte(v[i])
		}
		v = b.String()
	}
	if !utf8.ValidString(v) {
		return "", errors.New("is not UTF-8")
	}
	return v, nil
}
