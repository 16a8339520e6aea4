package events

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// Redacted stands where something was that must not travel.
const Redacted = "[redacted]"

// secrets are the patterns of events.md 2.6. The first group, where there is one, is kept.
var secrets = []*regexp.Regexp{
	regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#:@"]*:[^\s/?#@"]*@`),
	regexp.MustCompile(`(?i)\b((?:password|passwd|pwd|secret|token|api[_-]?key)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&"']+)`),
	regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|$)`),
	regexp.MustCompile(`\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`),
	regexp.MustCompile(`\bwhsec_[A-Za-z0-9+/=_-]*`),
	regexp.MustCompile(`(?i)\bAGE-SECRET-KEY-[0-9A-Z-]+`),
	regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{12,}`),
	regexp.MustCompile(`((?:X-Amz-Signature|X-Goog-Signature|[?&]sig)=)[^\s&"]+`),
}

// suspicious finds every JSON text in which one of secrets might match, and few others: it keeps the
// usual event off the slow way.
var suspicious = regexp.MustCompile(`(?i)://[^\s/"]*@|password|passwd|pwd|secret|token|api_?-?key|-----BEGIN|eyJ|whsec_|AGE-SECRET-KEY|AKIA|ASIA|-Signature=|sig=`)

// Redact replaces whatever looks like a credential in free text. Logs and events use the same function.
func Redact(s string) string {
	if !suspicious.MatchString(s) {
		return s
	}
	for _, re := range secrets {
		s = re.ReplaceAllStringFunc(s, func(m string) string {
			if g := re.FindStringSubmatch(m); len(g) > 1 {
				if strings.HasPrefix(m[len(g[1]):], Redacted) {
					return m
				}
				return g[1] + Redacted
			}
			return Redacted
		})
	}
	return s
}

// HasSecret tells whether Redact would change s: a command that says so is refused (events.md 2.6 c).
func HasSecret(s string) bool { return Redact(s) != s }

// redactJSON applies Redact to every string of a JSON document, member names excepted.
func redactJSON(doc []byte) ([]byte, error) {
	if !suspicious.Match(doc) {
		return doc, nil
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	v, changed := redactValue(v)
	if !changed {
		return doc, nil
	}
	return json.Marshal(v)
}

func redactValue(v any) (any, bool) {
	changed := false
	switch x := v.(type) {
	case string:
		r := Redact(x)
		return r, r != x
	case []any:
		for i := range x {
			var c bool
			x[i], c = redactValue(x[i])
			changed = changed || c
		}
	case map[string]any:
		for k := range x {
			var c bool
			x[k], c = redactValue(x[k])
			changed = changed || c
		}
	}
	return v, changed
}
