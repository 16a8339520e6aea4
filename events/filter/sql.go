package filter

import (
	"errors"
	"fmt"
	"sync"

	"github.com/antlr/antlr4/runtime/Go/antlr"
	cesql "github.com/cloudevents/sdk-go/sql/v2"
	"github.com/cloudevents/sdk-go/sql/v2/gen"
	cesqlparser "github.com/cloudevents/sdk-go/sql/v2/parser"
	ce "github.com/cloudevents/sdk-go/v2/event"

	"github.com/backupbus/backupbus/events"
)

// maxSQL bounds an expression (events.md 7.3).
const maxSQL = 1024

// sql is one CESQL expression, parsed.
type sql struct{ expression cesql.Expression }

// parsing: the generated parser shares caches that are not safe for concurrent use.
var parsing sync.Mutex

// parseSQL reads an expression. The library panics on some texts, an unterminated string among them: that
// is a mistake in the text like any other (events.md 7.3). The error does not repeat the text.
func parseSQL(text string) (parsed sql, err error) {
	if text == "" || len(text) > maxSQL {
		return sql{}, fmt.Errorf("is %d characters long, has to be 1 to %d", len(text), maxSQL)
	}
	defer func() {
		if recover() != nil {
			err = errors.New("is no CESQL expression: is a quote or a bracket left open?")
		}
	}()
	parsing.Lock()
	defer parsing.Unlock()
	if !lexes(text) {
		return sql{}, errors.New("is no CESQL expression: it holds a character that has no meaning there, or a quote that is left open")
	}
	e, err := cesqlparser.Parse(text)
	if err != nil || e == nil {
		return sql{}, errors.New("is no CESQL expression: write it as severitynumber >= 13 AND instance IN ('orders','users')")
	}
	return sql{e}, nil
}

// lexes looks at the words first: the library would print what it cannot read to standard error.
func lexes(text string) bool {
	lexer := gen.NewCESQLParserLexer(cesqlparser.NewCaseChangingStream(antlr.NewInputStream(text), true))
	lexer.RemoveErrorListeners()
	var faults lexerFaults
	lexer.AddErrorListener(&faults)
	lexer.GetAllTokens()
	return faults.n == 0
}

type lexerFaults struct {
	antlr.DefaultErrorListener
	n int
}

func (f *lexerFaults) SyntaxError(antlr.Recognizer, any, int, int, string, antlr.RecognitionException) {
	f.n++
}

// match holds for the Boolean true and nothing else. An error, as of a missing attribute, is the caller's to
// count; so is a panic.
func (s sql) match(ev events.Event) (ok bool, err error) {
	defer func() {
		if recover() != nil {
			ok, err = false, errors.New("sql: the expression cannot be evaluated on this event")
		}
	}()
	v, err := s.expression.Evaluate(cloudEvent(ev))
	if err != nil {
		return false, fmt.Errorf("sql: %s", events.Clip(events.Redact(err.Error()), 200))
	}
	ok, _ = v.(bool)
	return ok, nil
}

// cloudEvent is ev for the library: integers are numbers there, everything else is its canonical string.
func cloudEvent(ev events.Event) ce.Event {
	out := ce.New()
	out.SetID(ev.ID)
	out.SetSource(ev.Source)
	out.SetType(ev.Type)
	out.SetDataContentType("application/json")
	if ev.Subject != "" {
		out.SetSubject(ev.Subject)
	}
	if ev.DataSchema != "" {
		out.SetDataSchema(ev.DataSchema)
	}
	if !ev.Time.IsZero() {
		out.SetTime(ev.Time)
	}
	for name := range attributes {
		if standard[name] {
			continue
		}
		if v, there := Attribute(ev, name); there {
			out.SetExtension(name, v)
		}
	}
	for name, v := range ev.Extra {
		out.SetExtension(name, v)
	}
	if ev.Attempt != nil {
		out.SetExtension("attempt", *ev.Attempt)
	}
	if ev.Severity != 0 {
		out.SetExtension("severitynumber", ev.Severity)
	}
	return out
}

// standard are the attributes that are no extensions.
var standard = map[string]bool{"specversion": true, "id": true, "source": true, "type": true, "subject": true,
	"time": true, "dataschema": true, "datacontenttype": true}
