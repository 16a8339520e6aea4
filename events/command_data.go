package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"
)

// CommandBody is the `data` of a command, whatever its verb (events.md 5.1). What the sender left out is empty.
type CommandBody struct {
	Instance    string            `json:"instance"`
	Provider    string            `json:"provider"`
	Database    string            `json:"database"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Labels      map[string]string `json:"labels"`
	ExpireTime  Time              `json:"expireTime"`
	Location    string            `json:"location"`

	BackupID string `json:"backupId"`
	Reason   string `json:"reason"`
	Method   string `json:"method"`
	Target   Target `json:"target"`

	// Named are `project` and `instance` of the data whatever the verb: the subject decides on them, data that names
	// others is refused (events.md 5.1).
	Named struct{ Project, Instance string } `json:"-"`
}

var (
	backupIDForm = regexp.MustCompile(`^bk_[a-z2-7]{26}$`)
	providerName = regexp.MustCompile(`^[a-z][a-z0-9]{1,19}$`)
	locationForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
)

// field is one member of a command's data: the same rules as its schema in schemas/events.
type field struct {
	name     string
	required bool
	check    func(path string, v json.RawMessage) []Violation
}

var commandFields = map[Verb][]field{
	CreateBackup: {
		{"instance", true, nameOf(100)}, {"provider", false, matching(providerName)}, {"database", false, nameOf(100)},
		{"name", false, textOf(1, 64)}, {"description", false, textOf(0, 1024)}, {"labels", false, labelsOf},
		{"expireTime", false, timeOf}, {"location", false, matching(locationForm)},
	},
	CancelBackup:  {{"backupId", true, matching(backupIDForm)}, {"reason", false, textOf(0, 256)}},
	DeleteBackup:  {{"backupId", true, matching(backupIDForm)}, {"reason", false, textOf(0, 256)}},
	VerifyBackup:  {{"backupId", true, matching(backupIDForm)}, {"method", false, textOf(1, 64)}},
	RestoreBackup: {{"backupId", true, matching(backupIDForm)}, {"target", true, targetOf}},
}

var targetFields = []field{{"instance", true, nameOf(100)}, {"database", false, nameOf(100)}, {"overwrite", false, boolOf}}

// readCommandData checks data and reads it. Members that nobody defined are ignored (events.md 1.6).
func readCommandData(v Verb, data json.RawMessage) (CommandBody, error) {
	if rejected := scanData(data); rejected != nil {
		return CommandBody{}, rejected
	}
	if wrong := object("/data", data, commandFields[v]); len(wrong) > 0 {
		return CommandBody{}, &Rejection{Reason: SchemaViolation, Violations: wrong[:min(len(wrong), MaxViolations)],
			Message: "data does not fit the schema of its type: mend what violations name and send it again"}
	}
	known := only(data, commandFields[v])
	if target, there := known["target"]; there {
		known["target"] = encoded(only(target, targetFields))
	}
	var b CommandBody
	all := members(data)
	_ = json.Unmarshal(all["project"], &b.Named.Project) // what is no text names nothing
	_ = json.Unmarshal(all["instance"], &b.Named.Instance)
	if err := json.Unmarshal(encoded(known), &b); err != nil {
		return CommandBody{}, rejectf(SchemaViolation, "data does not fit the schema of its type")
	}
	return b, nil
}

// only takes the members that were checked: encoding/json would also take those that differ in case.
func only(raw json.RawMessage, fields []field) map[string]json.RawMessage {
	known, all := map[string]json.RawMessage{}, members(raw)
	for _, f := range fields {
		if v := all[f.name]; !absent(v) {
			known[f.name] = v
		}
	}
	return known
}

func encoded(m map[string]json.RawMessage) json.RawMessage {
	b, _ := json.Marshal(m) // of JSON that was read: it cannot fail
	return b
}

// object holds a JSON object against its fields. null counts as absent.
func object(path string, raw json.RawMessage, fields []field) (out []Violation) {
	if absent(raw) {
		return []Violation{{path, "required", "is missing"}}
	}
	if raw = bytes.TrimSpace(raw); raw[0] != '{' {
		return []Violation{{path, "type", "is not an object"}}
	}
	m := members(raw)
	for _, f := range fields {
		switch v := m[f.name]; {
		case !absent(v):
			out = append(out, f.check(path+"/"+f.name, v)...)
		case f.required:
			out = append(out, Violation{path + "/" + f.name, "required", "is missing"})
		}
	}
	return out
}

func absent(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}

// stringOf wants a string on which rule finds nothing wrong.
func stringOf(rule func(string) (keyword, message string)) func(string, json.RawMessage) []Violation {
	return func(path string, raw json.RawMessage) []Violation {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return []Violation{{path, "type", "is not a string"}}
		}
		if keyword, message := rule(s); keyword != "" {
			return []Violation{{path, keyword, message}}
		}
		return nil
	}
}

func nameOf(limit int) func(string, json.RawMessage) []Violation {
	return stringOf(func(s string) (string, string) {
		switch {
		case s == "":
			return "minLength", "is empty"
		case len(s) > limit:
			return "maxLength", fmt.Sprintf("at most %d bytes", limit)
		}
		return "", ""
	})
}

func textOf(least, limit int) func(string, json.RawMessage) []Violation {
	return stringOf(func(s string) (string, string) {
		switch n := utf8.RuneCountInString(s); {
		case n < least:
			return "minLength", "is empty"
		case n > limit:
			return "maxLength", fmt.Sprintf("at most %d characters", limit)
		}
		return "", ""
	})
}

func matching(re *regexp.Regexp) func(string, json.RawMessage) []Violation {
	return stringOf(func(s string) (string, string) {
		if !re.MatchString(s) {
			return "pattern", "does not match " + re.String()
		}
		return "", ""
	})
}

func timeOf(path string, raw json.RawMessage) []Violation {
	return stringOf(func(s string) (string, string) {
		if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
			return "format", "is not a time of RFC 3339"
		}
		return "", ""
	})(path, raw)
}

func boolOf(path string, raw json.RawMessage) []Violation {
	var b bool
	if json.Unmarshal(raw, &b) != nil {
		return []Violation{{path, "type", "is not a boolean"}}
	}
	return nil
}

func labelsOf(path string, raw json.RawMessage) []Violation {
	var l map[string]string
	if json.Unmarshal(raw, &l) != nil {
		return []Violation{{path, "type", "is not an object of strings"}}
	}
	if err := CheckLabels(l); err != nil {
		return []Violation{{path, "pattern", "at most 32; keys start with a letter and have at most 63 of a-z, 0-9, _ . -; values have at most 255 characters"}}
	}
	return nil
}

func targetOf(path string, raw json.RawMessage) []Violation { return object(path, raw, targetFields) }
