package postgres

import (
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// identity makes an age key: its file, and the recipient.
func identity(t testing.TB) (file, recipient string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "identities")
	if err := os.WriteFile(file, []byte(executortest.Secret(id.String())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, id.Recipient().String()
}

func encryptedJob(c events.InstanceConfig, recipient string) executor.Job {
	j := uniqueJob(c)
	j.Config.EncryptTo = []string{recipient}
	return j
}

func TestEncrypted_CopyIsProvenAndRestoredWithItsKeyAloneAndAWrongOneTouchesNothing(t *testing.T) {
	t.Parallel()
	s, w := server1(t), newWorld(t)
	key, recipient := identity(t)
	wrong, _ := identity(t)
	withKey, withWrong := w.settings(), w.settings()
	withKey.Identities, withWrong.Identities = key, wrong
	right, other, none := opened(t, withKey), opened(t, withWrong), w.executor(t)
	source := freshDB(t, s, bigTable)
	j := encryptedJob(config(s, source), recipient)
	j.Proof = events.ProofRestored
	o := take(t, right, j)
	target := freshDB(t, s, `CREATE TABLE old AS SELECT 7 AS id`)
	before := content(t, s, target)
	for name, x := range map[string]*running{"another key": other, "no key": none} {
		for _, proof := range []events.Proof{events.ProofChecked, events.ProofRestored} {
			_, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, proof)
			executortest.WantCode(t, err, events.PermissionDenied)
		}
		r := uniqueRestore(o, config(s), target)
		r.Overwrite = true
		_, err := x.Restore(t.Context(), r)
		executortest.WantCode(t, err, events.PermissionDenied)
		wantNoStage(t, s, r)
		if got := content(t, s, target); got != before {
			t.Errorf("restored with %s: the target holds %s, want %s", name, got, before)
		}
	}
	r := uniqueRestore(o, config(s), target)
	r.Overwrite = true
	if _, err := right.Restore(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if want, got := content(t, s, source), content(t, s, target); want != got {
		t.Errorf("content %s, want %s", got, want)
	}
}
