package events

import (
	"bytes"
	"encoding/json"
)

// scanData reads data once for what no schema says: depth, members that are there twice (readers would disagree on
// which counts), and what looks like a credential, in any string and in the text as a whole.
func scanData(data json.RawMessage) *Rejection {
	if len(data) == 0 {
		return nil
	}
	s := scanner{dec: json.NewDecoder(bytes.NewReader(data))}
	s.dec.UseNumber()
	if rejected := s.value(1); rejected != nil {
		return rejected
	}
	if HasSecret(string(data)) {
		return forbiddenData()
	}
	return nil
}

func forbiddenData() *Rejection {
	return rejectf(ForbiddenContent, "data contains what looks like a credential; it was not stored: send the command without it")
}

type scanner struct{ dec *json.Decoder }

func (s *scanner) value(depth int) *Rejection {
	t, err := s.dec.Token()
	if err != nil {
		return rejectf(MalformedEvent, "no CloudEvent 1.0 with JSON data: data is not JSON")
	}
	switch v := t.(type) {
	case string:
		if HasSecret(v) {
			return forbiddenData()
		}
	case json.Delim:
		if depth > maxCommandDepth {
			return rejectf(TooLarge, "data is nested deeper than %d: send it flatter", maxCommandDepth)
		}
		return s.members(v == '{', depth)
	}
	return nil
}

func (s *scanner) members(named bool, depth int) *Rejection {
	seen := map[string]bool{}
	for s.dec.More() {
		if named {
			t, err := s.dec.Token()
			name, ok := t.(string)
			switch {
			case err != nil || !ok:
				return rejectf(MalformedEvent, "no CloudEvent 1.0 with JSON data: data is not JSON")
			case seen[name]:
				return rejectf(MalformedEvent, "no CloudEvent 1.0 with JSON data: an object has a member twice")
			case HasSecret(name):
				return forbiddenData()
			}
			seen[name] = true
		}
		if rejected := s.value(depth + 1); rejected != nil {
			return rejected
		}
	}
	if _, err := s.dec.Token(); err != nil {
		return rejectf(MalformedEvent, "no CloudEvent 1.0 with JSON data: data is not JSON")
	}
	return nil
}
