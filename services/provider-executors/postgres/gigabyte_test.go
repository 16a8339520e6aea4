//go:build large

package postgres

import (
	"testing"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
)

func TestBackup_OfAGigabyteInOneTableIsProvenInLittleMemory(t *testing.T) {
	s, w := server1(t), newWorld(t)
	w.compression = archive.Compression{} // the built-in one; MariaDB's goes through the program
	source := freshDB(t, s, `CREATE UNLOGGED TABLE large AS SELECT g AS id, repeat(md5(g::text), 32) AS body FROM generate_series(1, 1 << 20) g`)
	if content := measuredContent(t, w, s, source); content.Tables["public.large"] != 1<<20 || content.Checksums["public.large"] == "" {
		t.Errorf("content %+v", content)
	}
}
