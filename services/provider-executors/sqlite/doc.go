// Package sqlite is the engine of SQLite databases: files that the executor can reach itself.
//
// # A backup
//
// The pages of one read transaction are streamed, in order, through the sqlite_dbpage virtual table
// into the storage. Nothing is written to local disk, and the source is opened read-only. The copy is the
// database byte for byte as it was when the transaction began: every transaction committed before
// consistencyTime, none in part. Its end mark is the page count: exactly as many pages have to arrive
// as the database said it has.
//
// In WAL mode writers go on meanwhile; the WAL file grows until the copy ends, because checkpoints
// cannot pass its snapshot. In every other journal mode the copy holds a shared lock: a writer waits
// with its commit until the copy ends, and gets SQLITE_BUSY if its busy timeout is shorter. Databases
// that are written while they are backed up should be in WAL mode.
//
// Opening a database in WAL mode needs its -shm file, which SQLite creates beside the database if
// it is not there, and an empty -wal with it, with the database's owner and mode. They stay, and are harmless.
//
// An instance may have several files, which are called by the last element of their paths. Their read
// transactions begin right after one another: a copy is of one moment for each file, and for all of them
// only if nobody writes in between.
//
// # Change detection
//
// A hash over all pages: nothing cheaper sees a commit that lies in the WAL. It never says "unchanged" of
// changed data, and "changed" of unchanged data after a VACUUM alone. It costs one read of the database.
//
// # The proof
//
//   - STORED: all pages were read and every stage after that ended well.
//   - CHECKED (default): the object is read back, its checksum compared, unpacked into a private scratch
//     folder; PRAGMA integrity_check says ok and the page count is equal. A damaged source fails here.
//   - RESTORED: CHECKED, and each table of the unpacked copy has the rows that were read in the transaction of
//     the copy, by number and by the sum of their hashes. Virtual tables are compared by the tables that hold
//     their content, virtual columns not at all. Rows are read only for copies that are taken with this
//     proof: a later RESTORE_TEST of another one unpacks and checks it, compares no rows, and says so: it counts
//     no tables and claims no checksums.
//
// Rows of any size are read in the memory of a few megabytes: those with a value above 1 MB page by page, as
// they are stored. SQLite's own check of the copy holds as a whole what is indexed, and each row of a WITHOUT ROWID
// table. While rows are read no bytes pass to the storage; each of them counts as a sign of life.
//
// A database whose indexes or constraints use functions or collations of its application cannot be
// checked without them: PROVIDER_REJECTED; such an instance asks for STORED.
//
// # A restore
//
// The checksum of the whole object is compared before the first byte is written. The copy is unpacked
// beside the target into a file for this user alone (0600) and checked.
//
//   - No file at the target: the new file is synced and gets the target's name in one step that fails
//     if the name was taken meanwhile.
//   - A target that holds data, in the file or in its -wal or -journal, is refused with ALREADY_EXISTS.
//   - With Overwrite, or if the target is an empty file, the content is replaced through SQLite, in one
//     transaction of the target: open connections see it as a commit, a crash in the middle is
//     rolled back by whoever opens the file next, and no old -wal can leak into the new content. A target
//     that is locked for longer than the busy timeout is refused and stays as it was.
//   - Several databases go back to the files of their names. All are unpacked and checked before the first is
//     put in place; a failure after that takes new files away again, and leaves replaced ones replaced.
//   - Refused even with Overwrite, because there is no safe way: a target that is not an SQLite database,
//     one in WAL mode with another page size than the copy, and a -wal or -journal with content whose
//     database is gone. Move them away first.
//
// # One library
//
// POSIX locks belong to the process: whoever opens and closes a database file beside SQLite, or with
// a second SQLite library, drops its locks. So nothing here opens a source or a target except
// modernc.org/sqlite, and no program may link another SQLite together with this package.
package sqlite
