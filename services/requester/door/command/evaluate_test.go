package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester/door/command"
)

const structured = "application/cloudevents+json"

// What was begun in time is told of after the expiry too, by whoever gets the message then.
func TestEvaluate_ExpiredButDone(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders")
	late := time.Now().Add(2 * time.Hour)
	body := func(id string) string {
		return `{"specversion":"1.0","id":"` + id + `","source":"` + source + `","type":"` + events.CreateBackup.Type() + `","expirytime":"` +
			late.Add(-time.Hour).UTC().Format(time.RFC3339) + `","data":{"instance":"orders"}}`
	}
	code, _, raw := b.CallHeaders(http.MethodPost, "/api/v1/projects/shop/events", body("1"), http.Header{"Content-Type": {structured}})
	if code != http.StatusAccepted {
		t.Fatalf("%d %s", code, raw)
	}
	first := decode[struct{ BackupID, RequestID string }](t, raw)
	e := command.NewEvaluator(nil, b.Bus, func() time.Time { return late })
	evaluate := func(id string) (events.AcceptedRequest, error) {
		c, err := events.ReadCommand(map[string][]string{"content-type": {structured}}, []byte(body(id)))
		if err != nil {
			t.Fatal(err)
		}
		return e.Evaluate(t.Context(), command.Call{Project: "shop", Command: c})
	}
	if a, err := evaluate("1"); err != nil || a.BackupID != first.BackupID || a.RequestID != first.RequestID {
		t.Errorf("%+v, %v", a, err)
	}
}

// broken is a log that answers reads and stores only what tells of outcomes.
type broken struct{ *bus.Bus }

var errBroken = errors.New("panic in pgx at db1.internal: password=hunter2")

func (l broken) Last(context.Context, string) (events.Stored, bool, error) {
	return events.Stored{}, false, errBroken
}

type silent struct{}

func (silent) Tell(context.Context, string, events.Event) error { return nil }

// What fails as often as it may be tried is INTERNAL, and may be sent again; before that it is only wanted again.
func TestHandle_FailsToTheLastDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := command.New(command.NewEvaluator(nil, broken{b.Bus}, time.Now), silent{}, pipelinetest.Logger(t))
	m := command.Message{Subject: on("orders", events.CreateBackup), Stream: bus.CommandStream, Seq: 7,
		Header: headers("1", events.CreateBackup), Body: json.RawMessage(`{"instance":"orders"}`)}
	var dead *command.Dead
	if err := d.Handle(t.Context(), m); err == nil || errors.As(err, &dead) {
		t.Errorf("a first failure: %v", err)
	}
	m.Last, m.Redelivered = true, true
	if err := d.Handle(t.Context(), m); !errors.As(err, &dead) || dead.Fate != command.Failed {
		t.Errorf("the last failure: %v", err)
	}
	if err := d.GiveUp(t.Context(), m, errBroken); !errors.As(err, &dead) { // the same message: told once
		t.Error(err)
	}
	r := b.rejected(b.outcomes(1)[0], "INTERNAL")
	if !r.Retryable || r.RetryAfterSeconds == 0 || r.CommandID != "1" || len(b.Events("shop")) != 1 {
		t.Errorf("%+v, %d events", r, len(b.Events("shop")))
	}
}

// A rejection that was told and not acknowledged is not judged anew, though it might be accepted now.
func TestHandle_ARejectionIsToldOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, "orders")
	b.create("first", "orders")
	b.outcomes(1)
	b.create("second", "orders")
	told := b.outcomes(2)[1]
	b.rejected(told, "PENDING_BACKUP_EXISTS")
	b.quiet()
	d := command.New(command.NewEvaluator(nil, b.Bus, time.Now), silent{}, pipelinetest.Logger(t))
	if err := d.Handle(t.Context(), command.Message{Subject: on("orders", events.CreateBackup), Stream: bus.CommandStream, Seq: 2, Redelivered: true,
		Header: headers("second", events.CreateBackup), Body: json.RawMessage(`{"instance":"orders"}`)}); err != nil {
		t.Error(err)
	}
	if n := b.count("request.rejected"); n != 1 {
		t.Errorf("%d rejections", n)
	}
}
