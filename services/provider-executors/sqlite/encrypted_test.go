package sqlite

import (
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

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

func TestEncrypted_CopyIsProvenAndRestoredWithItsKeyAloneAndAWrongOneTouchesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, recipient := identity(t)
	wrong, _ := identity(t)
	with := func(identities string) *running {
		c := w.settings()
		c.Identities = identities
		return opened(t, c)
	}
	source, target, absent := w.file("source.db"), w.file("target.db"), w.file("absent.db")
	fillDB(t, source, 500)
	fillDB(t, target, 3)
	before := content(t, target)
	right := with(key)
	j := jobOf(source)
	j.Config.EncryptTo, j.Proof = []string{recipient}, events.ProofRestored
	o := executortest.Take(t, right, j)
	overwrite := restoreJob(o, target)
	overwrite.Overwrite = true
	for name, file := range map[string]string{"another key": wrong, "no key": ""} {
		x := with(file)
		for _, proof := range []events.Proof{events.ProofChecked, events.ProofRestored} {
			_, err := x.Verify(t.Context(), j, *o.Ref, o.Checksum, proof)
			executortest.WantCode(t, err, events.PermissionDenied)
		}
		_, err := x.Restore(t.Context(), overwrite)
		executortest.WantCode(t, err, events.PermissionDenied)
		_, err = x.Restore(t.Context(), restoreJob(o, absent))
		executortest.WantCode(t, err, events.PermissionDenied)
		if content(t, target) != before {
			t.Errorf("restored with %s: the target was touched", name)
		}
		if _, err := os.Lstat(absent); err == nil {
			t.Errorf("restored with %s: there is a new file", name)
		}
		w.wantNoScratch(t)
	}
	executortest.Restore(t, right, overwrite)
	if content(t, target) != content(t, source) {
		t.Error("content differs")
	}
}

func TestEncrypted_ManifestRecipeWorksWithStockTools(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, recipient := identity(t)
	c := w.settings()
	c.Identities = key
	source := w.file("source.db")
	fillDB(t, source, 500)
	j := jobOf(source)
	j.Config.EncryptTo = []string{recipient}
	o := executortest.Take(t, opened(t, c), j)
	line := manifestOf(t, w, o).Objects[0].Restore
	dir := filepath.Dir(objectFile(w, *o.Ref))
	executortest.ByHand(t, dir, line, key)
	wantSameFile(t, filepath.Join(dir, "restored.sqlite"), source)
}
