package archive

import (
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

func TestAt_RefusesEverythingButOneAttempt(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{URLs: map[string]string{"a": "file://" + t.TempDir(), "default": "file://" + t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c, err := s.Of(job(3))
	if err != nil || c.Storage() != DefaultName {
		t.Fatalf("%v, %v", c, err)
	}
	again, err := s.At(executor.Ref{BackupName: c.Name()})
	if err != nil || again.Name() != c.Name() {
		t.Errorf("%v, %v", again, err)
	}
	for _, name := range []string{"", "default:", "default:shop/", "default:shop/i/bk_a/", "default:shop/i/bk_a/attempt-1", "default:shop/i/../attempt-1/",
		"default:../../../attempt-1/", "default:shop/i/bk_a/attempt-0/", "/etc", c.Name() + "x/"} {
		if _, err := s.At(executor.Ref{BackupName: name}); err == nil {
			t.Errorf("%q is taken for a copy", name)
		}
	}
	_, err = s.At(executor.Ref{BackupName: strings.Replace(c.Name(), "default", "gone", 1)})
	wantCode(t, err, events.ProviderRejected)
	bad := job(1)
	bad.BackupID = "../x"
	if _, err := s.Of(bad); err == nil {
		t.Error("a backup id with a slash has a place")
	}
}
