package archive

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/backupbus/backupbus/events"
)

func TestDelete_ObjectManifestAndTemporaryFiles(t *testing.T) {
	t.Parallel()
	c, dir := setup(t)
	m := stored(t, c, []byte("x"))
	temp := filepath.Join(dir, filepath.FromSlash(c.prefix), object+".18f3a.tmp") // as fileblob names them
	if err := os.WriteFile(temp, []byte("killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	freed, err := c.Delete(t.Context())
	if err != nil || freed <= m.StoredBytes()+6 {
		t.Errorf("freed %d, %v", freed, err)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	if freed, err := c.Delete(t.Context()); err != nil || freed != 0 {
		t.Errorf("again: freed %d, %v", freed, err)
	}
}

func TestDelete_TouchesOneAttemptOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{URLs: map[string]string{"main": "file://" + dir}})
	if err != nil {
		t.Fatal(err)
	}
	var copies []*Copy
	for _, attempt := range []int{1, 10} {
		c, err := s.Of(job(attempt))
		if err != nil {
			t.Fatal(err)
		}
		stored(t, c, []byte("x"))
		copies = append(copies, c)
	}
	if _, err := copies[0].Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := copies[1].Remains(t.Context()); err != nil || !left {
		t.Errorf("attempt 10 remains: %v, %v", left, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestDelete_StorageThatIsAwayIsNoSuccess(t *testing.T) {
	t.Parallel()
	c, dir := setup(t)
	stored(t, c, []byte("x"))
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Delete(t.Context())
	wantCode(t, err, events.ProviderUnavailable)
}
