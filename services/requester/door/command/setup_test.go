package command_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bus/commandtest"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

const source = "https://ops.example.com/cron/nightly"

// bench is a pipeline with somebody outside of it.
type bench struct {
	*pipelinetest.Pipeline
	*commandtest.Outsider
	t testing.TB
}

func setup(t *testing.T, instances ...string) *bench {
	t.Helper()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	for _, i := range instances {
		p.Register("shop", i)
	}
	return &bench{p, commandtest.Connect(t, p.NATS), t}
}

// on is the subject of a command about an instance of the project shop.
func on(instance string, v events.Verb) string {
	return "backupbus.v1.command.shop._." + instance + ".backup." + string(v)
}

// headers of a command in binary mode, as any NATS client writes them; more are added in pairs.
func headers(id string, v events.Verb, more ...string) map[string][]string {
	h := map[string][]string{"Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "ce-source": {source}, "ce-type": {v.Type()}, "Content-Type": {"application/json"}}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = []string{more[i+1]}
	}
	return h
}

// create sends a create command and returns nothing: what becomes of it is in the log.
func (b *bench) create(id, instance string, more ...string) {
	b.t.Helper()
	b.Send(on(instance, events.CreateBackup), headers(id, events.CreateBackup, more...), []byte(`{"instance":"`+instance+`"}`))
}

// outcomes waits for the first n outcomes of requests.
func (b *bench) outcomes(n int) []events.Stored {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), pipelinetest.Patience)
	defer cancel()
	var all []events.Stored
	err := b.Bus.Tail(ctx, events.EventRoot+".shop._._.request.>", bus.Start{Seq: 1}, func(_ string, s events.Stored) error {
		if all = append(all, s); len(all) == n {
			return io.EOF
		}
		return nil
	})
	if len(all) < n {
		b.t.Fatalf("%d of %d outcomes: %v", len(all), n, err)
	}
	return all
}

func (b *bench) accepted(s events.Stored) events.AcceptedRequest {
	b.t.Helper()
	if s.Step() != events.Accepted {
		b.t.Fatalf("%s: %s", s.ID, s.Data)
	}
	a, err := events.Decode[events.AcceptedRequest](s.Event)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *bench) rejected(s events.Stored, reason string) events.RejectedRequest {
	b.t.Helper()
	r, err := events.Decode[events.RejectedRequest](s.Event)
	if err != nil || s.Step() != events.Rejected || r.Reason != reason || r.Message == "" {
		b.t.Fatalf("%s: %s, want %s", s.ID, s.Data, reason)
	}
	return r
}

// count is how many events of a step the project has.
func (b *bench) count(step string) (n int) {
	b.t.Helper()
	for _, s := range b.Events("shop") {
		if strings.HasSuffix(s.Type, "."+step+".v1") {
			n++
		}
	}
	return n
}

// quiet waits until every command that was sent has been settled.
func (b *bench) quiet() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), pipelinetest.Patience)
	defer cancel()
	for b.Left(bus.CommandStream) > 0 {
		if ctx.Err() != nil {
			b.t.Fatal("commands are left")
		}
	}
}

// holds looks for a text in every message of every stream.
func (b *bench) holds(text string) (where []string) {
	b.t.Helper()
	for _, m := range b.Everything() {
		if strings.Contains(fmt.Sprint(m.Header)+string(m.Data), text) {
			where = append(where, m.Subject)
		}
	}
	return where
}

func decode[T any](t testing.TB, raw []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return v
}

// Events are those of the log; the outsider has a reader of the same name.
func (b *bench) Events(project string) []events.Stored { return b.Pipeline.Events(project) }
