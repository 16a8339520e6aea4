package gaussdb

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// object is a JSON object whose members are read by their exact names; unknown ones are ignored (1.2).
type object struct {
	members map[string]json.RawMessage
	wrong   bool // a member has the wrong type
}

// maxJSON bounds what is decoded: no legal request comes near it, the largest names 50 backups. What the gateway takes
// is more (maxBody), and decoded it would be twenty times that.
const maxJSON = 64 << 10

// readObject reads the body of a call: nothing at all is errNull, what is no object or too large errParameter.
func readObject(body []byte) (*object, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errNull
	}
	o := &object{}
	if len(body) > maxJSON || !utf8.Valid(body) || json.Unmarshal(body, &o.members) != nil || o.members == nil {
		return nil, errParameter
	}
	return o, nil
}

func (o *object) has(name string) bool {
	raw, ok := o.members[name]
	return ok && string(raw) != "null"
}

// into reads a member; one that is absent or null leaves v as it is.
func (o *object) into(name string, v any) {
	if o.has(name) && json.Unmarshal(o.members[name], v) != nil {
		o.wrong = true
	}
}

func (o *object) text(name string) (s string) {
	o.into(name, &s)
	return s
}

// whole reads a member that is an integer without fraction or exponent.
func (o *object) whole(name string) int {
	var n json.Number
	o.into(name, &n)
	if o.has(name) && o.members[name][0] == '"' { // json.Number reads those too
		o.wrong = true
	}
	if n == "" {
		return 0
	}
	i, err := strconv.ParseInt(n.String(), 10, 32)
	if err != nil && strings.ContainsAny(n.String(), ".eE") {
		o.wrong = true
	} else if err != nil {
		return -1 // too large for any rule
	}
	return int(i)
}

func (o *object) object(name string) *object {
	in := &object{}
	o.into(name, &in.members)
	return in
}

// write sends an answer.
func write(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(answer) // a client that has gone cannot be told
}
