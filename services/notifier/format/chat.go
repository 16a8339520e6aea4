package format

import "strings"

// slack is the body of a Slack incoming webhook. `&`, `<` and `>` are its control characters
// (docs.slack.dev, "Formatting message text").
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
	text := func(s string) any { return map[string]any{"type": "mrkdwn", "text": s} }
	return map[string]any{
		"text": escape.Replace(m.Line),
		"blocks": []any{
			map[string]any{"type": "section", "text": text(mark + " *" + escape.Replace(m.Line) + "*")},
			map[string]any{"type": "context", "elements": []any{text(strings.Join(details, "\n"))}},
		},
	}
}

// teams is the body of a Teams workflow webhook: one Adaptive Card (adaptivecards.io, version 1.4).
func teams(m Message) any {
	colour := "good"
	if m.Bad {
		colour = "attention"
	}
	var details []any
	for _, d := range m.Details {
		details = append(details, map[string]any{"title": d.Name, "value": d.Value})
	}
	return map[string]any{"type": "message", "attachments": []any{map[string]any{
		"contentType": "application/vnd.microsoft.card.adaptive",
		"content": map[string]any{
			"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
			"body": []any{
				map[string]any{"type": "TextBlock", "text": m.Line, "weight": "bolder", "color": colour, "wrap": true},
				map[string]any{"type": "FactSet", "facts": details},
			},
		},
	}}}
}

// discord is the body of a Discord webhook. Nobody is mentioned, whatever the text says
// (discord.com/developers, "Execute Webhook").
func discord(m Message) any {
	colour := 0x2e7d32
	if m.Bad {
		colour = 0xc62828
	}
	var details []any
	for _, d := range m.Details {
		details = append(details, map[string]any{"name": d.Name, "value": d.Value})
	}
	return map[string]any{
		"content":          m.Line,
		"allowed_mentions": map[string]any{"parse": []any{}},
		"embeds":           []any{map[string]any{"color": colour, "fields": details}},
	}
}
