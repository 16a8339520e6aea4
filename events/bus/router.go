package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/backupbus/backupbus/events"
)

// closeTimeout leaves the subscribers their Grace.
const closeTimeout = 25 * time.Second

// NewRouter makes Watermill's router for a service, with the middleware that every handler of the bus
// needs, outermost first:
//
//	settle     turns the handler's error into a redelivery or a dead letter, and logs it, once
//	recoverer  turns a panic into an error, inside settle so that it counts as one
//
// Handlers return nil (ack), RetryAfter, Refuse, or any other error: then the message comes again after
// RetryDelay and is a dead letter `max_deliveries` when the durable's MaxDeliver is reached. Each handler
// wants a Subscriber of its own, because the router closes it. Dead letters are those of the durable's service
// (events.md 4.2). log may be nil.
func NewRouter(b *Bus, log *slog.Logger) (*message.Router, error) {
	if log == nil {
		log = b.log
	}
	quiet := watermill.NewSlogLoggerWithLevelMapping(log, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug})
	r, err := message.NewRouter(message.RouterConfig{CloseTimeout: closeTimeout}, quiet)
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	s := settler{bus: b, log: log}
	r.AddMiddleware(s.middleware, recoverer)
	return r, nil
}

// settler decides how a message is settled whose handler returned an error.
type settler struct {
	bus *Bus
	log *slog.Logger
}

func (s settler) middleware(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		out, err := next(msg)
		if err == nil {
			return out, nil
		}
		d, ok := deliveryOf(msg)
		if !ok {
			return nil, err
		}
		d.decide(s.judge(msg.Context(), d, err))
		msg.Nack()
		return nil, nil // the router's own Ack comes too late, and its log line would be a second one
	}
}

func (s settler) judge(ctx context.Context, d *delivery, err error) verdict {
	if reason, ok := Refused(err); ok {
		return s.bury(ctx, d, reason, err)
	}
	var later retryLater
	if errors.As(err, &later) {
		s.log.DebugContext(ctx, "message put off", s.attributes(d, err, later.after)...)
		return verdict{kind: again, delay: later.after}
	}
	if d.maxDeliver > 0 && d.Deliveries >= d.maxDeliver { // it never comes again, stopping or not
		return s.bury(ctx, d, MaxDeliveries, err)
	}
	if d.stopping() {
		return verdict{kind: again} // at once: another instance takes it
	}
	delay := RetryDelay(d.Deliveries)
	s.log.WarnContext(ctx, "message failed", s.attributes(d, err, delay)...)
	return verdict{kind: again, delay: delay}
}

// bury stores the dead letter before the message is terminated; if it cannot, the message stays.
func (s settler) bury(ctx context.Context, d *delivery, reason string, cause error) verdict {
	// The dead letter is stored although the handler's context may have ended: else the work of finding out
	// would be done again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWait)
	defer cancel()
	if err := s.bus.DeadLetter(ctx, serviceOf(d.durable), reason, d.Message, cause); err != nil {
		delay := RetryDelay(d.Deliveries)
		s.log.ErrorContext(ctx, "dead letter not stored", s.attributes(d, err, delay)...)
		return verdict{kind: again, delay: delay}
	}
	return verdict{kind: terminate, text: reason}
}

func (s settler) attributes(d *delivery, err error, delay time.Duration) []any {
	return []any{"service", serviceOf(d.durable), "durable", d.durable, "event_id", d.id(), "stream_seq", d.Seq,
		"deliveries", d.Deliveries, "again_in", delay.String(), "error", events.Redact(err.Error())}
}

// recoverer makes a panic an error that names the function and no file or stack (events.md 2.6).
func recoverer(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) (out []*message.Message, err error) {
		defer func() {
			if v := recover(); v != nil {
				out, err = nil, fmt.Errorf("panic in %s: %v", culprit(), v)
			}
		}()
		return next(msg)
	}
}

// culprit is the function that panicked: the first one above the runtime.
func culprit() string {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") || !more {
			return f.Function
		}
	}
}
