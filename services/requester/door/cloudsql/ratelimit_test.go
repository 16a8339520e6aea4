package cloudsql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester"
	"github.com/backupbus/backupbus/services/requester/door/cloudsql"
)

func TestRateLimit_TheRequestOverItIsAcceptedAndFails(t *testing.T) { // PD-6, B40
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{Requester: requester.Config{CloudSQL: cloudsql.Config{RateLimit: cloudsql.RateLimit{Burst: 2, Every: 10 * time.Minute}}}})
	p.Register("acme", "orders")
	p.Register("acme", "other")
	done := func(instance string, err error) op {
		t.Helper()
		o := insert(t, p, instance, "")
		bk := backupID(t, p)
		p.Await("acme", bk, events.Started)
		p.Hand.Finish(bk, err)
		p.Await("acme", bk, events.Succeeded, events.Failed)
		return o
	}
	done("orders", nil)
	done("orders", &events.Failure{Code: events.NotFound, Category: events.ByUser, Message: "gone"}) // gives its token back
	done("orders", nil)
	starts := p.Hand.Starts()
	o := insert(t, p, "orders", "")
	if o.Status != "PENDING" || o.Error != nil {
		t.Errorf("%+v", o)
	}
	id := o.BackupContext.BackupId
	o = getOp(p, o.Name)
	if o.Status != "DONE" || o.Error == nil || o.Error.Errors[0].Code != "RATE_LIMIT_EXCEEDED" || !strings.Contains(o.Error.Errors[0].Message, "try again after 20") {
		t.Fatalf("%+v", o)
	}
	if r := getRun(p, "orders", id); r.Status != "FAILED" || r.Error == nil || r.Error.Code != "RATE_LIMIT_EXCEEDED" || r.StartTime != "" {
		t.Errorf("%+v", r)
	}
	if p.Hand.Starts() != starts {
		t.Error("an executor began what was over the limit")
	}
	done("other", nil) // a bucket of its own
}
