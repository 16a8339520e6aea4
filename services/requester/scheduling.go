package requester

import (
	"context"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/services/requester/schedule"
)

// scheduling hands a Scheduler its share of the ticks and events of all replicas.
type scheduling struct {
	bus       *bus.Bus
	log       *slog.Logger
	scheduler *schedule.Scheduler
}

// reconcileRetry is the pause before what was lost is looked for again, if that failed.
const reconcileRetry = 10 * time.Second

func (s *scheduling) run(ctx context.Context) error {
	router, err := bus.NewRouter(s.bus, s.log)
	if err != nil {
		return err
	}
	router.AddConsumerHandler("ticks", bus.TicksDurable, s.bus.Subscriber(bus.SubscriberConfig{}), s.tick)
	router.AddConsumerHandler("scheduler", bus.SchedulerDurable, s.bus.Subscriber(bus.SubscriberConfig{}), s.happened)
	go s.reconcile(ctx)
	return router.Run(ctx)
}

// reconcile arms what was lost, once; it insists, as the bus may not be there yet.
func (s *scheduling) reconcile(ctx context.Context) {
	for {
		err := s.scheduler.Reconcile(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.log.WarnContext(ctx, "timers were not compared with schedules", "error", err.Error(), "retry_in", reconcileRetry)
		timer := time.NewTimer(reconcileRetry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (s *scheduling) tick(msg *message.Message) error {
	t, err := bus.TickOf(msg)
	if err != nil {
		return err
	}
	return s.scheduler.Tick(msg.Context(), t.Key, t.Data)
}

func (s *scheduling) happened(msg *message.Message) error {
	ev, _, err := bus.EventOf(msg)
	if err != nil {
		return err
	}
	return s.scheduler.Happened(msg.Context(), ev)
}

// timers are those of the bus.
type timers struct{ *bus.Bus }

// Arm implements schedule.Timers.
func (t timers) Arm(ctx context.Context, key string, at time.Time, data []byte) error {
	return t.Bus.Arm(ctx, bus.Timer{Key: key, At: at, Data: data})
}
