package sqlite

import (
	lib "modernc.org/sqlite/lib"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
)

// tool made the copy: the SQLite library linked into this program.
var tool = archive.Tool{Name: "modernc.org/sqlite (sqlite_dbpage)", Version: lib.SQLITE_VERSION}
