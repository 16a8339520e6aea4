package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"strings"
)

// What parse answers and may be shown as it is.
var (
	errBatch         = errors.New("batches are not accepted")
	errNoEvent       = errors.New("neither binary mode headers nor a JSON object")
	errNotCloudEvent = errors.New("not a CloudEvent in JSON format")
	errNotJSONData   = errors.New("data is not JSON")
)

var (
	traceParentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	extensionForm   = regexp.MustCompile(`^[a-z0-9]{1,64}$`)
)

func extensionName(s string) bool { return extensionForm.MatchString(s) }

// wireSize is the message as NATS counts it: header lines and body.
func wireSize(header map[string][]string, body []byte) int {
	n := len(body)
	for name, values := range header {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return n
}

// IsStructured tells whether a message carries its attributes in its body (events.md 4.1).
func IsStructured(header map[string][]string) bool {
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(headerValue(header, "content-type"))), "application/cloudevents") ||
		headerValue(header, "ce-specversion") == ""
}

// headerValue looks a header up without regard to case.
func headerValue(header map[string][]string, name string) string {
	for k, v := range header {
		if len(v) > 0 && strings.EqualFold(k, name) {
			return v[0]
		}
	}
	return ""
}

// members are the top-level members of a structured event; nil for anything else.
func members(body []byte) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil {
		return nil
	}
	return m
}

func specVersion(header map[string][]string, body []byte) string {
	if !IsStructured(header) {
		return headerValue(header, "ce-specversion")
	}
	var v string
	_ = json.Unmarshal(members(body)["specversion"], &v) // what is no string is no version
	return v
}

// asVersionOne is the message with another specversion.
func asVersionOne(header map[string][]string, body []byte) (map[string][]string, []byte) {
	h := maps.Clone(header)
	for k := range h {
		if strings.EqualFold(k, "ce-specversion") {
			h[k] = []string{"1.0"}
		}
	}
	if !IsStructured(header) {
		return h, body
	}
	m := members(body)
	m["specversion"] = json.RawMessage(`"1.0"`)
	b, err := json.Marshal(m)
	if err != nil {
		return h, body
	}
	return h, b
}

// hasBase64 tells whether a structured event carries bytes instead of JSON.
func hasBase64(body []byte) bool {
	if !bytes.Contains(body, []byte(`"data_base64"`)) {
		return false
	}
	_, top := members(body)["data_base64"]
	return top && members(body)["specversion"] != nil
}
