package mysql

import (
	"path/filepath"
	"testing"
)

func TestRestore_DataDirOutsideTheRootsIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := Engine{config: Config{DataRoots: []string{dir}}}
	for path, want := range map[string]bool{
		filepath.Join(dir, "new"): true, dir: false, filepath.Join(dir, "..", "new"): false, filepath.Join(filepath.Dir(dir), "other"): false,
	} {
		if err := e.allowed(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := (&Engine{}).allowed("/anywhere"); err != nil {
		t.Error(err)
	}
}
