//go:build large

package mysql_test

import "testing"

func TestBackup_OfAGigabyteInOneTableIsProvenInLittleMemory(t *testing.T) {
	w, source, db := ownServer(t)
	run(t, db, "CREATE TABLE large (id INT PRIMARY KEY, body TEXT)")
	run(t, db, "INSERT INTO large SELECT seq, REPEAT(MD5(seq), 32) FROM seq_1_to_1048576")
	wantLittleMemory(t, w, source)
}
