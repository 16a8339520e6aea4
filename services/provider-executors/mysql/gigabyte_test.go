//go:build large

package mysql_test

import (
	"testing"

	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

func TestBackup_OfAGigabyteInOneTableIsProvenInLittleMemory(t *testing.T) {
	srv := mysqltest.Start(t, mysqltest.MariaDB)
	if err := createBackuper(t.Context(), srv); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, srv)
	source := database(t, srv)
	db, err := srv.Open("root", mysqltest.RootPassword, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run(t, db, "CREATE TABLE large (id INT PRIMARY KEY, body TEXT)")
	run(t, db, "INSERT INTO large SELECT seq, REPEAT(MD5(seq), 32) FROM seq_1_to_1048576")
	wantLittleMemory(t, w, source)
}
