package mysql_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
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

func TestEncrypted_CopyIsRestoredWithItsKeyAloneAndAWrongOneTouchesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sharedServer(t, mysqltest.MariaDB))
	key, recipient := identity(t)
	wrong, _ := identity(t)
	source, target := database(t, w.srv), database(t, w.srv)
	fill(t, w.srv, source, 200)
	fill(t, w.srv, target, 3)
	before := content(t, w.srv, target)
	overwrite := func(j *executor.RestoreJob) { j.Overwrite = true }

	w.identities = key
	j := w.job(source)
	j.Config.EncryptTo, j.Proof = []string{recipient}, events.ProofRestored
	x := w.executor(t)
	o := executortest.Take(t, x, j)
	for _, file := range []string{wrong, ""} {
		w.identities = file
		other := w.executor(t)
		for _, proof := range []events.Proof{events.ProofChecked, events.ProofRestored} {
			_, err := other.Verify(t.Context(), j, *o.Ref, o.Checksum, proof)
			executortest.WantCode(t, err, events.PermissionDenied)
		}
		executortest.WantCode(t, w.tryRestore(t, other, o, w.config(target), overwrite), events.PermissionDenied)
		if content(t, w.srv, target) != before {
			t.Fatal("the target was touched")
		}
	}
	w.restore(t, x, o, w.config(target), overwrite)
	whole := content(t, w.srv, source)
	if content(t, w.srv, target) != whole {
		t.Error("content differs")
	}
	w.byHand(t, *o.Ref, source, key)
	if content(t, w.srv, source) != whole {
		t.Error("content by hand differs")
	}
}

func TestEncrypted_FilesOfAServerComeBackByHand(t *testing.T) {
	t.Parallel()
	w, j := physical(t)
	key, recipient := identity(t)
	w.identities, j.Config.EncryptTo = key, []string{recipient}
	o := executortest.Take(t, w.executor(t), j)
	var m archive.Manifest
	if err := json.Unmarshal([]byte(w.manifest(t, *o.Ref)), &m); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(w.object(*o.Ref))
	executortest.ByHand(t, folder, m.Objects[0].Restore, key)
	dir, err := mysqltest.Dir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Rename(filepath.Join(folder, "restored"), filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	again, err := mysqltest.Adopt(context.Background(), mysqltest.MariaDB, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Stop)
	if content(t, again, "shop") != content(t, w.srv, "shop") {
		t.Error("content differs")
	}
}
