package tracker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bus/commandtest"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// Case N5: a handler that dies ten times of a message leaves a dead letter, and the consumer goes on.
func TestN5_AHandlerThatDiesEveryTime(t *testing.T) {
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{AckWait: 150 * time.Millisecond})
	out := commandtest.Connect(t, p.NATS)
	p.Register("shop", "orders")
	if subject := out.Die(bus.NotifierDurable, 10); !strings.Contains(subject, ".orders.instance.") {
		t.Fatalf("died of %s", subject)
	}
	next := out.Take(bus.NotifierDurable) // the server tells of the message only while somebody asks for more
	dead := p.NATS.DeadLetters(t, 1)[0]
	p.Register("shop", "users")
	if subject := <-next; !strings.Contains(subject, ".users.instance.") {
		t.Errorf("the consumer goes on with %s", subject)
	}
	event := p.Events("shop")[0]
	if dead.Subject != "backupbus.v1.deadletter.notifier.shop.max_deliveries" || dead.Header[bus.DeadLetterPrefix+"Stream"][0] != bus.EventStream ||
		dead.Header[bus.DeadLetterPrefix+"Deliveries"][0] != "10" || dead.Header["ce-id"][0] != event.ID || string(dead.Data) != string(event.Data) {
		t.Errorf("%s %v", dead.Subject, dead.Header)
	}
}
