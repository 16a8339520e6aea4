package format_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/schemas"
	"github.com/backupbus/backupbus/services/notifier/format"
)

func example(t testing.TB, eventType string) events.Event {
	t.Helper()
	doc, err := schemas.Example(eventType)
	if err != nil {
		t.Fatal(err)
	}
	ev, err := events.Parse(map[string][]string{"content-type": {"application/cloudevents+json"}}, doc)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestMessageOf_SaysOutcomeTargetAndPlace(t *testing.T) {
	t.Parallel()
	for eventType, want := range map[string]string{
		"dev.backupbus.backup.succeeded.v1":       "Backup succeeded: orders-db (sqlite) in project shop, storage default",
		"dev.backupbus.backup.failed.v1":          "Backup failed: orders-db (sqlite) in project shop",
		"dev.backupbus.backup.overdue.v1":         "Backup overdue: orders-db (sqlite) in project shop",
		"dev.backupbus.restore.succeeded.v1":      "Restore succeeded: orders-db to orders-copy (sqlite) in project shop",
		"dev.backupbus.delivery.dead_lettered.v1": "Delivery dead lettered: https://hooks.example.com:443 in project shop",
	} {
		if got := format.MessageOf(example(t, eventType)).Line; got != want {
			t.Errorf("%s:\nwant %s\ngot  %s", eventType, want, got)
		}
	}
	m := format.MessageOf(example(t, "dev.backupbus.backup.failed.v1"))
	if !m.Bad || m.Details[0].Name != "Error" || !strings.HasPrefix(m.Details[0].Value, "STORAGE_FULL: ") {
		t.Errorf("got %+v", m)
	}
}

// Every type of event makes a message in every format, with the line where a phone's notification shows it.
func TestFormats_EveryEventBeginsWithItsLine(t *testing.T) {
	t.Parallel()
	for _, eventType := range schemas.Types() {
		ev := example(t, eventType)
		line := format.MessageOf(ev).Line
		for _, name := range format.Formats {
			f, ok := format.Of(name)
			if !ok {
				t.Fatal(name)
			}
			body, err := f.Body(ev)
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ Text, Content string }
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			if name == "teams" {
				if !strings.Contains(string(body), line) {
					t.Errorf("%s of %s: %s", name, eventType, body)
				}
			} else if strings.ReplaceAll(got.Text+got.Content, `\`, "") != line { // Discord does not show them
				t.Errorf("%s of %s: want %q, got %q", name, eventType, line, got.Text+got.Content)
			}
		}
	}
}

func TestSlack_TextCannotMentionOrLink(t *testing.T) {
	t.Parallel()
	ev := example(t, "dev.backupbus.backup.failed.v1")
	ev.Data = []byte(`{"instance":"<!channel>","project":"shop & co","error":{"code":"INTERNAL","message":"<https://x|y>"}}`)
	f, _ := format.Of("slack")
	body, err := f.Body(ev)
	if err != nil {
		t.Fatal(err)
	}
	var all any
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatal(err)
	}
	if plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(body)); strings.ContainsAny(plain, "<>") {
		t.Errorf("got %s", plain)
	}
}

// texts are all strings of a body that hold a part, in order.
func texts(v any, part string) (out []string) {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, part) {
			out = append(out, v)
		}
	case []any:
		for _, inner := range v {
			out = append(out, texts(inner, part)...)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out = append(out, texts(v[key], part)...)
		}
	}
	return out
}

func tricky(t testing.TB, name string) map[string]any {
	t.Helper()
	ev := example(t, "dev.backupbus.backup.failed.v1")
	data, err := json.Marshal(map[string]any{"instance": "[x](http://evil.example) @everyone", "project": "*shop*",
		"error": map[string]any{"code": "INTERNAL", "message": "<@1> _a_ \\`b` # [y](https://evil.example)"}})
	if err != nil {
		t.Fatal(err)
	}
	ev.Data = data
	f, _ := format.Of(name)
	body, err := f.Body(ev)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDiscord_TextIsNoMarkdown(t *testing.T) {
	t.Parallel()
	got := texts(tricky(t, "discord"), "evil")
	want := []string{`Backup failed: \[x\](http:\/\/evil.example) \@everyone in project \*shop\*`,
		"INTERNAL: \\<\\@1\\> \\_a\\_ \\\\\\`b\\` \\# \\[y\\](https:\\/\\/evil.example)"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What others wrote stands in elements without Markdown only.
func TestTeams_TextIsNoMarkdown(t *testing.T) {
	t.Parallel()
	all := tricky(t, "teams")
	want := []string{"Backup failed: [x](http://evil.example) @everyone in project *shop*", "INTERNAL: <@1> _a_ \\`b` # [y](https://evil.example)"}
	if diff := cmp.Diff(want, texts(all, "evil")); diff != "" {
		t.Error(diff)
	}
	card := all["attachments"].([]any)[0].(map[string]any)["content"].(map[string]any)
	for _, block := range card["body"].([]any) {
		b := block.(map[string]any)
		if b["type"] != "RichTextBlock" {
			t.Errorf("%v is Markdown", b)
			continue
		}
		for _, run := range b["inlines"].([]any) {
			if kind := run.(map[string]any)["type"]; kind != "TextRun" {
				t.Errorf("%v is Markdown", run)
			}
		}
	}
}

func TestSlack_TextIsNotSearchedForNames(t *testing.T) {
	t.Parallel()
	for _, block := range tricky(t, "slack")["blocks"].([]any) {
		b := block.(map[string]any)
		elements, _ := b["elements"].([]any)
		if text, ok := b["text"]; ok {
			elements = append(elements, text)
		}
		for _, e := range elements {
			if e.(map[string]any)["verbatim"] != true {
				t.Errorf("%v", e)
			}
		}
	}
}
