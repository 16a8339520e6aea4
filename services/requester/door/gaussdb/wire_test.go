package gaussdb_test

import (
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/door/doortest"
)

// `await STEP` waits for a step of the backup that was asked for last, `finish` and `fail` end its work.
func TestWire(t *testing.T) {
	t.Parallel()
	doortest.Conversations(t, func(t *testing.T) doortest.Conversation {
		p := setup(t, settings{}, "orders")
		return doortest.Conversation{URL: p.URL,
			Names: map[string]string{project: "{PROJECT}", other: "{OTHER}", gaussID(t, project, "orders"): "{INSTANCE}"},
			Volatile: []doortest.Volatile{
				{Name: "BACKUP", Form: `[0-9a-f]{32}br07`}, {Name: "JOB", Form: `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`},
				{Name: "TIME", Form: `20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]+\+0000`, Alike: true},
				{Name: "REQUEST", Form: `\b[0-9a-f]{32}\b`, Alike: true}, {Name: "MOMENT", Form: `\b[0-9]{13}\b`, Alike: true},
			},
			Step: func(t *testing.T, step, arg string, _ []byte) bool {
				t.Helper()
				switch step {
				case "await":
					p.Await(project, lastBackup(p), events.Step(arg))
				case "finish":
					p.Hand.Finish(lastBackup(p), nil)
				case "fail":
					p.Hand.Finish(lastBackup(p), &events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: "the database may not be read"})
				default:
					return false
				}
				return true
			}}
	})
}
