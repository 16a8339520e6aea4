package postgres

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// finding is the one about a subject.
func finding(t testing.TB, all []engine.Finding, subject string) engine.Finding {
	t.Helper()
	for _, f := range all {
		if f.Subject == subject {
			return f
		}
	}
	t.Fatalf("nothing about %q in %v", subject, all)
	return engine.Finding{}
}

func TestInspect_OfAServerThatCanBeBackedUpFindsNothingWrong(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	x := w.executor(t)
	logical, physical := uniqueJob(config(s)), physicalJob(s)
	logical.Proof = events.ProofRestored
	for _, all := range [][]engine.Finding{x.Inspect(t.Context(), logical), x.Inspect(t.Context(), physical)} {
		if len(all) < 6 {
			t.Errorf("only %v", all)
		}
		for _, f := range all {
			if f.Err != nil || f.Said == "" {
				t.Errorf("%s: %q, %v", f.Subject, f.Said, f.Err)
			}
		}
	}
}

func TestInspect_GoesOnAfterWhatIsWrong(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	source := freshDB(t, s, `CREATE TABLE a (id int)`, `CREATE TABLE "B c" (id int)`)
	user := unique("user")
	s.CreateUser(t, user, canary)
	set := w.settings()
	set.Programs = tool.Programs{"pg_dump": filepath.Join(w.dir, "absent")}
	x := opened(t, set)

	j := uniqueJob(config(s, source))
	j.Config.Address, j.Config.User, j.Config.CredentialRef = s.TCP, user, credentialFile(t, canary)
	all := x.Inspect(t.Context(), j)
	executortest.WantCode(t, finding(t, all, "tool pg_dump").Err, events.ProviderRejected)
	lacks := finding(t, all, "privileges").Err
	executortest.WantCode(t, lacks, events.PermissionDenied)
	if !strings.HasSuffix(lacks.Error(), source+`: public."B c", `+source+": public.a") {
		t.Errorf("it does not say which: %v", lacks)
	}
	if f := finding(t, all, "login"); f.Err != nil {
		t.Error(f.Err)
	}

	j.Config.Method, j.Config.Databases = events.MethodPhysical, nil
	executortest.WantCode(t, finding(t, x.Inspect(t.Context(), j), "replication").Err, events.PermissionDenied)

	j.Config.Method, j.Config.CredentialRef = "", credentialFile(t, "wrong")
	all = x.Inspect(t.Context(), j)
	executortest.WantCode(t, finding(t, all, "login").Err, events.PermissionDenied)
	executortest.WantCode(t, finding(t, all, "tool pg_dump").Err, events.ProviderRejected)

	j.Config.Address = "nonsense"
	executortest.WantCode(t, finding(t, x.Inspect(t.Context(), j), "configuration").Err, events.ProviderRejected)
}

// A server that proves copies does not run as root, and its account has to get to the scratch folder: this is said
// before a backup was made for nothing.
func TestInspect_ScratchFolderThatItsAccountCannotReach(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("the executor is not root: its scratch servers are its own")
	}
	s, w := server1(t), newWorld(t)
	closed := filepath.Join(w.dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	set := w.settings()
	set.Scratch = filepath.Join(closed, "below", "scratch")
	x := opened(t, set)
	j := uniqueJob(config(s))
	if f := x.Inspect(t.Context(), j); slices.ContainsFunc(f, func(f engine.Finding) bool { return f.Subject == "scratch" }) {
		t.Error("looked at for a proof that needs none")
	}
	j.Proof = events.ProofRestored
	f := finding(t, x.Inspect(t.Context(), j), "scratch")
	if os.Geteuid() != 0 {
		if f.Err != nil {
			t.Error(f.Err)
		}
		return
	}
	executortest.WantCode(t, f.Err, events.ProviderRejected)
	if left, err := os.ReadDir(set.Scratch); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := os.Chmod(closed, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(closed, "below"), 0o711); err != nil {
		t.Fatal(err)
	}
	if f := finding(t, x.Inspect(t.Context(), j), "scratch"); f.Err != nil {
		t.Error(f.Err)
	}
}
