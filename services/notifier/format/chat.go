package format

import "strings"

// slack is the body of a Slack incoming webhook. `&`, `<` and `>` are its control characters
// (docs.slack.dev, "Formatting message text"); verbatim text is not searched for names, mentions and links
// (docs.slack.dev, "Text object").
func slack(m Message) any {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	mark := ":white_check_mark:"
	if m.Bad {
		mark = ":warning:"
	}
	var details []string
	for _, d := range m.Details {
		details = append(details, "*"+d.Name+":* "+escape.Replace(d.Value))
	}
	text := func(s string) any { return map[string]any{"type": "mrkdwn", "text": s, "verbatim": true} }
	return map[string]any{
		"text": escape.Replace(m.Line),
		"blocks": []any{
			map[string]any{"type": "section", "text": text(mark + " *" + escape.Replace(m.Line) + "*")},
			map[string]any{"type": "context", "elements": []any{text(strings.Join(details, "\n"))}},
		},
	}
}

// teams is the body of a Teams workflow webhook: one Adaptive Card (adaptivecards.io, version 1.4). A TextBlock and a
// Fact are Markdown, which has no documented way to escape it; a TextRun is plain text.
func teams(m Message) any {
	colour := "good"
	if m.Bad {
		colour = "attention"
	}
	line := func(runs ...any) any { return map[string]any{"type": "RichTextBlock", "inlines": runs} }
	body := []any{line(map[string]any{"type": "TextRun", "text": m.Line, "weight": "bolder", "color": colour})}
	for _, d := range m.Details {
		body = append(body, line(map[string]any{"type": "TextRun", "text": d.Name + ": ", "weight": "bolder"},
			map[string]any{"type": "TextRun", "text": d.Value}))
	}
	return map[string]any{"type": "message", "attachments": []any{map[string]any{
		"contentType": "application/vnd.microsoft.card.adaptive",
		"content": map[string]any{
			"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": body,
		},
	}}}
}

// unmarked escapes what is Markdown to Discord, with the backslash that it shows as nothing (support.discord.com,
// "Markdown Text 101"); a URL in parts is no link, and an escaped < or @ no mention.
var unmarked = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "~", `\~`, "`", "\\`", "|", `\|`, "[", `\[`, "]", `\]`,
	"<", `\<`, ">", `\>`, "@", `\@`, "#", `\#`, "://", `:\/\/`)

// discord is the body of a Discord webhook. Nobody is mentioned, whatever the text says
// (discord.com/developers, "Execute Webhook").
func discord(m Message) any {
	colour := 0x2e7d32
	if m.Bad {
		colour = 0xc62828
	}
	var details []any
	for _, d := range m.Details {
		details = append(details, map[string]any{"name": d.Name, "value": unmarked.Replace(d.Value)})
	}
	return map[string]any{
		"content":          unmarked.Replace(m.Line),
		"allowed_mentions": map[string]any{"parse": []any{}},
		"embeds":           []any{map[string]any{"color": colour, "fields": details}},
	}
}
