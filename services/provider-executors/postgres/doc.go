// Package postgres is the engine of PostgreSQL servers, version 12 and newer, backed up by PostgreSQL's own
// programs.
//
// # A logical backup (LOGICAL, the default)
//
//	globals.sql     roles and their settings, by pg_dumpall; only in copies of a whole server
//	databases.sql   the databases with encoding, locale, owner, rights and settings, by the engine
//	db-NAME.dump    one for each database, by pg_dump in the custom format, compressed by the executor alone
//
// A whole server is all databases that allow connections and are no templates. Each database is one moment
// of it: a transaction of the engine holds the snapshot from which pg_dump reads and in which the rows are
// read for RESTORED. Databases of one server are not copied at the same moment: what was committed before
// consistencyTime is in the copy, in the later databases more. Writers go on; ALTER and DROP of a table wait
// until its database has been dumped. A dump that waits longer than Config.LockWait for a lock fails.
//
// The run ends well if every tool ends with status 0, each dump begins with PGDMP, and the globals end with
// their end mark. When it does not end well, every session of the attempt on the server is ended by its
// application_name, backupbus-{backupId}-{attempt}, also after a cancel.
//
// # A physical backup (PHYSICAL)
//
// base.tar is what pg_basebackup writes to its output: the files of the whole server, the part of its log
// that they need, and a manifest with their checksums. A server with tablespaces of its own does not fit
// into one stream and is refused. The log is fetched at the end, and a temporary replication slot keeps it
// until then; where there is no slot left, or max_slot_wal_keep_size is too small, a checkpoint may remove
// it, and the copy fails and names the setting. Configuration that lies outside of the data folder, as on Debian, is not
// in the copy. The copy of a standby has its standby.signal and the way to its primary in it: where it is
// restored, remove that file before the start, unless it is to follow the primary again.
//
// # Rights
//
// A superuser can do everything. Without one, for a logical backup of one or several databases:
//
//	CREATE ROLE backup LOGIN BYPASSRLS PASSWORD '…';
//	GRANT pg_read_all_data TO backup;  -- before 14: USAGE on each schema, SELECT on each table and sequence
//	GRANT pg_monitor TO backup;        -- to tell that nothing changed
//	GRANT CONNECT ON DATABASE … TO backup;
//
// BYPASSRLS is needed where row-level security is used. Large objects can be read by their owner, by whom
// they were granted to, and by a superuser. Roles are dumped without passwords unless by a superuser. For
// a physical backup: ALTER ROLE backup REPLICATION, and a line for the database replication in pg_hba.conf.
// For a restore: ALTER ROLE … CREATEDB, membership in the roles that own the objects, pg_signal_backend if
// something is replaced; a copy of a whole server is restored by a superuser.
//
// # Programs
//
// pg_dump and pg_dumpall (or pg_basebackup) have to be of the server's major version or newer, pg_restore
// of pg_dump's. A configured path is the only candidate. Else the same major version wins wherever it is,
// then what PATH has, then the highest of the versions that lie side by side (Config.BinDirs). Debian's
// pg_wrapper on PATH is passed over. Proof RESTORED needs initdb and postgres of the server's own major version.
//
// # The proof
//
//   - STORED: the tools ended well with their marks, and so did every stage after them.
//   - CHECKED (default): each dump is read to its end by pg_restore, which fails on a torn one (its list,
//     pg_restore -l, does not); the end marks are looked at again. Of a physical copy each file is compared
//     with the checksum in the server's manifest, and its log has to be there.
//   - RESTORED: a scratch server on a socket in a private folder loads each database and reads its tables; their
//     set, the number of rows and the sum of the rows' hashes have to be those of the snapshot, in which the
//     source reads every table once more for it. Of copies that were not taken for RESTORED the rows were
//     not read: there the set of tables is compared with the dump's own list, and the rows are counted as they
//     load, compared with nothing, so no checksums are claimed. A physical copy is
//     recovered, without its standby.signal and recovery.signal, and every table of it read. Subscriptions are
//     left out, and who granted a membership.
//
// A row's hash is the server's own (hashtextextended) of the text of its values, in which a session's settings
// and the order of columns have no say. Generated columns, large objects and the state of sequences are not
// compared, and materialized views are filled anew. By number alone are compared: tables with money, whose
// text is that of a locale; tables with a row whose text is beyond what a value may be, 1 GB; and all tables
// of a source whose machine has another order of bytes. It costs the source memory of a few times its
// largest row. A standby cannot read unlogged tables: its copy has them without rows, and so they have to load.
//
// While a table is read no bytes pass to the storage, and the server does not tell how far it is. The query counts as a
// sign of life as long as it runs: one that hangs is ended by LockWait, by TCP keep-alive if the server is gone, or
// by the attempt's deadline, and not as one that stalls.
//
// The scratch server runs with the rights of its account, Config.ScratchAccount if the executor is root,
// and runs functions of the copy, in indexes and checks say, as its superuser: ask for RESTORED only of
// databases whose owners may do on the executor's machine what that account may. Two folders of the
// executor, the scratch folder and that of the attempt, can then be passed through by others, not listed. A
// locale that the machine lacks is replaced by C; tablespaces are left out; without globals the copy's owners
// and rights are not compared.
//
// # A restore
//
// Each database is loaded under a temporary name, _backupbus_{restoreId}_new_N, and all of them get their
// names in one transaction, in which what they replace is moved to _backupbus_{restoreId}_old_N, to be
// dropped. Before its commit an error or a crash leaves the target as it was; RecoverRestore drops
// what carries the restore's id, which after the commit completes it. One exception to "on an error the target is
// as before": if the replaced database cannot be dropped after the commit, the copy is in place and the
// failure says what is left.
//
// A target database that holds any object that is not the server's own is refused unless overwriting is
// allowed; an empty one is replaced, and if somebody filled it in the last moment before, it is kept under a
// name that begins with _backupbus_kept_, and the failure says so. One with prepared transactions or
// subscriptions is refused: both keep a database from being dropped. Sessions of a database that is replaced are ended. A new name needs
// a copy of one database. Encoding, locale, owner, rights, settings and comment of a database come back
// with it; tablespaces do not, everything goes to the target's default; statistics come back with ANALYZE.
//
// Roles come back only with a copy of a whole server that is restored under its own names: those that the
// target lacks are made with passwords, settings and memberships, and removed again on an error. Those that are
// there stay as they are: no password is changed and nobody becomes a member of anything. Rights on
// tablespaces and parameters are left out. Every other restore is refused if roles that the copy names are
// missing, because owners, rights and policies would be lost without a word; create them first.
//
// A physical copy is unpacked beside the target's dataDir, compared, and moved there in one step. dataDir
// must not be there or be empty; overwriting is not offered. If root restores, the files get the owner of
// dataDir, else of the folder that it is in. The server is then started by its owner and recovers by itself.
//
// # Nothing changed
//
// The fingerprint is the server's snapshot (pg_current_snapshot) with its identity, timeline, start, and the
// start of its checkpointer, which a crash of one session renews, and what is asked for: method, user,
// and databases. It is taken before anything else is read of the server. What a session sees follows from the
// snapshot, so equal fingerprints mean that nothing was committed in between: in unlogged tables too, and
// a commit of a transaction that ran before is seen. Checkpoints, VACUUM, hint bits and a backup do not
// move it (but see below), as they move the position in the log; so it holds on a server that idles.
//
// Changed is still said falsely after: a write in another database of the server, or in a temporary table; a
// transaction that wrote and was rolled back; autovacuum's ANALYZE after writes, its truncation of a
// table's end, and from 18 on the first VACUUM after writes; any restart. Not a commit, and not seen: nextval()
// without a row that uses it, settings in files. Not known, so that every backup is made: a standby, a user
// without pg_monitor, and versions before 13.
//
// # Versions
//
// The tests run against the newest server that the machine has: 15, Debian's, in CI; 18 by hand.
package postgres
