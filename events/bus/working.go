package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/backupbus/backupbus/events"
)

// Who works on what is in the log; whether that process is still there is asked of the process itself. The
// question and its answer are plain messages on a subject of our own and are kept nowhere.
const workingRoot = "backupbus.v1.working"

// workingWait is how long an executor has to answer; one that is cut off does not count as there.
const workingWait = 2 * time.Second

// AnswerWorking lets others ask this executor whether it is working on an aggregate, until stop.
func (b *Bus) AnswerWorking(executorID string, working func(aggregateID string) bool) (stop func(), err error) {
	subject, err := workingSubject(executorID)
	if err != nil {
		return nil, err
	}
	sub, err := b.nc.Subscribe(subject, func(m *nats.Msg) {
		answer := "no"
		if working(string(m.Data)) {
			answer = "yes"
		}
		_ = m.Respond([]byte(answer)) // who does not hear it takes us for gone, and the log decides
	})
	if err != nil {
		return nil, fmt.Errorf("answer for %s: %w", executorID, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

// Working asks an executor whether it is working on an aggregate. One that does not answer within two
// seconds is not; an error means that the bus could not be asked.
func (b *Bus) Working(ctx context.Context, executorID, aggregateID string) (bool, error) {
	subject, err := workingSubject(executorID)
	if err != nil {
		return false, err
	}
	ask, cancel := context.WithTimeout(ctx, workingWait)
	defer cancel()
	m, err := b.nc.RequestWithContext(ask, subject, []byte(aggregateID))
	switch {
	case err == nil:
		return string(m.Data) == "yes", nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded):
		return false, nil
	}
	return false, fmt.Errorf("ask %s: %w: %w", executorID, ErrUnavailable, err)
}

func workingSubject(executorID string) (string, error) {
	t, err := events.Token(executorID)
	if err != nil {
		return "", fmt.Errorf("executor id: %w", err)
	}
	return workingRoot + "." + t, nil
}
