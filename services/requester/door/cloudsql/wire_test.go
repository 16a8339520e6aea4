package cloudsql_test

import (
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/door/doortest"
)

// `await STEP` waits for a step of the backup that was asked for last, `finish` and `fail` end its work. `instance NAME`
// makes one known with what its section says of it in Cloud SQL's words.
func TestWire(t *testing.T) {
	t.Parallel()
	doortest.Conversations(t, func(t *testing.T) doortest.Conversation {
		p := setup(t, "orders")
		return doortest.Conversation{URL: p.URL,
			Volatile: []doortest.Volatile{
				{Name: "BACKUP", Form: `bk_[a-z2-7]{26}`}, {Name: "SCHEDULE", Form: `sc_[a-z2-7]{26}`},
				{Name: "OPERATION", Form: `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`},
				{Name: "TIME", Form: `20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`, Alike: true},
				{Name: "RUN", Form: `\b[0-9]{13}\b`}, {Name: "TOKEN", Form: `eyJ[A-Za-z0-9_-]{20,}`},
			},
			Step: func(t *testing.T, step, arg string, data []byte) bool {
				t.Helper()
				switch step {
				case "instance":
					facts(t, p, arg, "mysql", "us-central1", strings.TrimSpace(string(data)))
				case "await":
					p.Await("acme", backupID(t, p), events.Step(arg))
				case "finish":
					p.Hand.Finish(backupID(t, p), nil)
				case "fail":
					p.Hand.Finish(backupID(t, p), &events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: "the database may not be read"})
				default:
					return false
				}
				return true
			}}
	})
}
