package events_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/schemas"
)

// schemas/asyncapi.json is made of the subjects and types of this package and of the schemas.
func TestSchemas_AsyncAPIIsWhatThereIs(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(asyncAPI(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(filepath.Join("..", "schemas", "asyncapi.json"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(schemas.AsyncAPI()), b.String()); diff != "" {
		t.Errorf("asyncapi.json (go test -update rewrites it):\n%s", diff)
	}
}

type object = map[string]any

func ref(path string) object { return object{"$ref": "#/" + path} }

const (
	eventChannel, progressChannel, commandChannel = "event", "progress", "command"
	replyChannel, deadLetterChannel               = "reply", "deadletter"
)

// asyncAPI is the document. It is complete in itself, so the schemas are copied into it.
func asyncAPI(t *testing.T) object {
	t.Helper()
	messages, parts := object{}, schemaParts(t)
	on := map[string][]string{} // message names by channel
	for _, full := range schemas.Types() {
		typ, err := events.ParseType(full)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(full, "dev.backupbus.")
		trait := "event"
		if typ.Entity == "command" {
			trait = "command"
		}
		messages[name] = object{
			"name": full, "title": parts[name].(object)["title"], "contentType": "application/json",
			"payload": ref("components/schemas/" + name), "traits": []object{ref("components/messageTraits/" + trait)},
		}
		for _, c := range channelsOf(typ) {
			on[c] = append(on[c], name)
		}
	}
	channels := object{}
	for name, c := range channelObjects() {
		refs := object{}
		for _, m := range on[name] {
			refs[m] = ref("components/messages/" + m)
		}
		if len(refs) > 0 {
			c["messages"] = refs
		}
		channels[name] = c
	}
	return object{
		"asyncapi": "3.0.0",
		"info": object{"title": "backupbus", "version": "1.0.0",
			"description": "Events and commands on NATS JetStream, as CloudEvents 1.0 in binary mode. Attributes are headers, data is the payload."},
		"defaultContentType": "application/json",
		"channels":           channels,
		"operations":         operations(t, on),
		"components":         object{"messages": messages, "messageTraits": traits(parts), "schemas": parts},
	}
}

// channelsOf are where a type travels (events.md 4.2). A test of a subscription goes to its sink alone.
func channelsOf(typ events.Type) []string {
	switch {
	case typ.Entity == "command":
		return []string{commandChannel}
	case typ == events.TypeOf(events.Subscriptions, events.Test):
		return nil
	case typ.Step == events.ProgressStep:
		return []string{progressChannel}
	case typ.Entity == events.Requests:
		return []string{eventChannel, replyChannel}
	}
	return []string{eventChannel}
}

func channelObjects() map[string]object {
	about := map[string]string{
		"project": "the project, escaped as a token", "instance": "the instance, escaped as a token; _ where there is none",
		"provider": "mysql, postgres, sqlite and others; _ where there is none, or the sender of a command does not know it",
		"entity":   "what the event is about", "entityId": "its id", "step": "what happened",
		"verb": "create, cancel, delete, verify or restore", "name": "chosen by the sender of a command, in its header Backupbus-Reply-To",
		"service": "requester, exec-{provider}, tracker or notifier", "reason": "why the message could not be used",
	}
	channel := func(address, description string) object {
		c := object{"address": address, "description": description}
		parameters := object{}
		for token := range strings.SplitSeq(address, ".") {
			if name := strings.Trim(token, "{}"); name != token {
				parameters[name] = object{"description": about[name]}
			}
		}
		c["parameters"] = parameters
		return c
	}
	return map[string]object{
		eventChannel:      channel(events.EventRoot+".{project}.{provider}.{instance}.{entity}.{entityId}.{step}", "Everything that happened, in the stream BACKUP_EVENTS."),
		progressChannel:   channel(events.ProgressRoot+".{project}.{provider}.{instance}.{entity}.{entityId}", "The last progress of each backup and restore, in the stream BACKUP_PROGRESS."),
		commandChannel:    channel(events.CommandRoot+".{project}.{provider}.{instance}.backup.{verb}", "What outsiders ask for, in the stream BACKUP_COMMANDS."),
		replyChannel:      channel("backupbus.v1.reply.{project}.{name}", "A copy of a command's outcome, if it names a subject here; not stored."),
		deadLetterChannel: channel(events.DeadLetterRoot+".{service}.{project}.{reason}", "What could not be used, as it was received, with headers Backupbus-Deadletter-*; in the stream BACKUP_DEADLETTERS."),
	}
}

// traits are the attributes of CloudEvents as headers.
func traits(parts object) object {
	envelope := parts["envelope"].(object)
	delete(parts, "envelope")
	headers := func(required []any) object {
		h := object{}
		for name, s := range envelope["properties"].(object) {
			if name != "data" {
				h["ce-"+name] = asHeader(s.(object))
			}
		}
		var names []string
		for _, r := range required {
			if r != "data" {
				names = append(names, "ce-"+r.(string))
			}
		}
		return object{"type": "object", "properties": h, "required": names}
	}
	command := headers([]any{"specversion", "id", "source", "type"})
	for name, limit := range map[string]int{"ce-id": 256, "ce-source": 512} { // foreign text (events.md 5.1)
		command["properties"].(object)[name] = object{"type": "string", "minLength": 1, "maxLength": limit}
	}
	return object{
		"event":   object{"headers": headers(envelope["required"].([]any))},
		"command": object{"headers": command},
	}
}

// asHeader is an attribute's schema in the binary mode, where all are text.
func asHeader(s object) object {
	if numbers, ok := s["enum"].([]any); ok && s["type"] == "integer" {
		var words []string
		for _, n := range numbers {
			word, _ := json.Marshal(n)
			words = append(words, string(word))
		}
		return object{"type": "string", "enum": words}
	}
	if s["type"] == "integer" || s["$ref"] != nil { // attempt is a count
		return object{"type": "string", "pattern": "^[0-9]+$"}
	}
	return s
}

// schemaParts are all schemas and the definitions that they share, with references inside the document.
func schemaParts(t *testing.T) object {
	t.Helper()
	read := func(name string) object {
		raw, err := os.ReadFile(filepath.Join("..", "schemas", "events", name+".json"))
		var doc object
		if err == nil {
			err = json.Unmarshal(raw, &doc)
		}
		if err != nil {
			t.Fatal(err)
		}
		return local(doc).(object)
	}
	parts := object{}
	for name, def := range read("defs")["$defs"].(object) {
		parts[name] = def
	}
	for _, full := range schemas.Types() {
		name := strings.TrimPrefix(full, "dev.backupbus.")
		parts[name] = read(name)
	}
	return parts
}

// local rewrites a schema for AsyncAPI: no identifiers of its own, and nothing beside a reference, which readers of
// older drafts pass over.
func local(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = local(v[i])
		}
	case object:
		for key, member := range v {
			v[key] = local(member)
		}
		if _, isSchema := v["$id"].(string); isSchema {
			delete(v, "$id")
			delete(v, "$schema")
		}
		if target, ok := v["$ref"].(string); ok {
			_, name, _ := strings.Cut(target, "#/$defs/")
			v["$ref"] = "#/components/schemas/" + name
			if len(v) > 1 {
				v["allOf"] = []any{object{"$ref": v["$ref"]}}
				delete(v, "$ref")
			}
		}
	}
	return v
}

// operations are what each role sends and receives.
func operations(t *testing.T, on map[string][]string) object {
	t.Helper()
	out := object{}
	op := func(who, action, channel string, messages []string) {
		o := object{"action": action, "channel": ref("channels/" + channel)}
		var refs []object
		for _, m := range messages {
			refs = append(refs, ref("channels/"+channel+"/messages/"+m))
		}
		if len(refs) > 0 {
			o["messages"] = refs
		}
		out[who+"."+action+"."+channel] = o
	}
	for _, channel := range []string{eventChannel, progressChannel, commandChannel} {
		sent := map[string][]string{}
		for _, m := range on[channel] {
			typ, err := events.ParseType("dev.backupbus." + m)
			if err != nil {
				t.Fatal(err)
			}
			emitted := false
			for _, who := range []events.Emitter{events.ByRequester, events.ByExecutor, events.ByNotifier, events.ByOutsider} {
				for _, e := range events.EmittedBy(who) {
					if e.Entity == typ.Entity && (e.Steps == nil || slices.Contains(e.Steps, typ.Step)) {
						sent[string(who)], emitted = append(sent[string(who)], m), true
					}
				}
			}
			if !emitted {
				t.Errorf("%s has no emitter: see events.md 1.5", m)
			}
		}
		for who, messages := range sent {
			op(who, "send", channel, messages)
		}
	}
	var work []string
	for _, f := range append(events.WorkFilters("x"), events.CancelFilter("x")) {
		tokens := strings.Split(f, ".")
		work = append(work, tokens[len(tokens)-3]+"."+tokens[len(tokens)-1]+".v1")
	}
	op("executor", "receive", eventChannel, work)
	for _, who := range []string{"tracker", "notifier", "outsider"} {
		op(who, "receive", eventChannel, on[eventChannel])
	}
	for _, who := range []string{"tracker", "outsider"} {
		op(who, "receive", progressChannel, on[progressChannel])
	}
	op("requester", "receive", commandChannel, on[commandChannel])
	op("requester", "send", replyChannel, on[replyChannel])
	op("outsider", "receive", replyChannel, on[replyChannel])
	for _, who := range []string{"requester", "executor", "tracker", "notifier"} {
		op(who, "send", deadLetterChannel, nil)
	}
	return out
}
