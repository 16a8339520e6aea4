package postgres

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
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
	executortest.Restore(t, right, r)
	if want, got := content(t, s, source), content(t, s, target); want != got {
		t.Errorf("content %s, want %s", got, want)
	}
	to := postgrestest.Start(t)
	byHand(t, w.folder(*o.Ref), to, key)
	if want, got := content(t, s, source), content(t, to, source); want != got {
		t.Errorf("content by hand %s, want %s", got, want)
	}
}

func TestEncrypted_FilesOfAServerComeBackByHand(t *testing.T) {
	t.Parallel()
	s, w := postgrestest.Start(t), newWorld(t)
	s.CreateDatabase(t, "shop")
	s.Exec(t, "shop", `CREATE TABLE a AS SELECT 42 AS id`)
	set := w.settings()
	key, recipient := identity(t)
	set.Identities = key
	j := physicalJob(s)
	j.Config.EncryptTo = []string{recipient}
	x := opened(t, set)
	o := take(t, x, j)
	home, data := filepath.Join(w.dir, "home"), filepath.Join(w.dir, "home", "data")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	executortest.ByHand(t, w.folder(*o.Ref), manifest(t, x, *o.Ref).Objects[0].Restore, key)
	if err := os.Rename(filepath.Join(w.folder(*o.Ref), "restored"), data); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error {
		giveToServer(t, s, path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	restored, err := postgrestest.Open(t.Context(), home, data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := restored.Stop(); err != nil {
			t.Error(err)
		}
	})
	if id := value[int](t, restored, "shop", `SELECT id FROM a`); id != 42 {
		t.Errorf("restored %d", id)
	}
}
