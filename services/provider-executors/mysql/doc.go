// Package mysql is the executor of MySQL and MariaDB servers of one's own, by the servers' own programs.
//
// # A logical backup (method LOGICAL, the default)
//
// One run of mariadb-dump or mysqldump, streamed: `--single-transaction --quick --hex-blob --routines
// --events --triggers`. Everything in InnoDB is of one moment, across all databases of the copy; writers go
// on. The dump is whole if the tool ended well and its last line is `-- Dump completed`: either has been
// seen without the other. Where the binary log is on, the position of that moment is kept: MariaDB's GTID, or
// file and position. For these MySQL's tool locks all tables for a moment (FLUSH TABLES WITH READ LOCK), which waits
// for the queries that run and holds up writers meanwhile; without RELOAD it does not, and there is no position. The
// GTIDs of MySQL are in no copy: a restore is logged under new ones, and leaves gtid_purged alone.
//
// A copy of one database (asked for by name, or the only one that the instance names) holds no database's
// name and can be put back under another. Its first line, before the tool's own, sets the database's
// character set. A copy of several keeps their names; its first line lists them with their character sets,
// and a restore looks at and makes those.
//
// The tool talks to a private socket of the executor, which carries its connection to the server, with TLS
// where the instance asks for it. So the tool learns neither address nor certificate, and the executor
// knows the number of its session: a query that hangs is killed on the server when the tool is. The tool asks
// some thirteen small questions for each table, and the way through the executor wakes two more processes for
// each: that is about a millisecond a table.
//
// The session also holds a user-level lock, backupbus-backup-ID-ATTEMPT-0, which the executor takes in it before
// the tool can ask for anything. By it the session of a killed executor, which may wait for a lock of others for
// hours, is found and ended when the backup is tried again; in the same way that of a restore.
//
// Privileges, which are looked at before the tool starts. Without TRIGGER, and without the one for
// routines, the tools leave things out and end well:
//
//	GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO backuper;               -- all databases
//	GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `shop`.* TO backuper;          -- or those that are named,
//	GRANT SELECT ON mysql.proc TO backuper;                                   -- with this (MariaDB),
//	GRANT SHOW_ROUTINE ON *.* TO backuper;                                    -- or this (MySQL)
//	GRANT RELOAD, REPLICATION CLIENT ON *.* TO backuper;                      -- MySQL: position in the log;
//	                                                                          -- FLUSH_TABLES is enough for RELOAD
//
// Privileges of a role count where the role is active at the login (SET DEFAULT ROLE). What MySQL's partial_revokes
// takes from one database counts as not granted there.
//
// Over TCP without TLS no password is sent as it is: caching_sha2_password does without once the server knows the
// account, which the executor's own login sees to. A server that asks all the same gets no answer.
//
// # A physical backup (method PHYSICAL)
//
// mariadb-backup (MySQL: xtrabackup) streams the files of the whole server, accounts included. The executor
// has to run on the server's machine, as root or the server's account. It sees that the process that answers
// works on the files that it reads: by the socket, or over loopback by the process's folder and start.
//
//	GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO backuper;    -- MySQL: REPLICATION CLIENT,
//	GRANT BACKUP_ADMIN ON *.* TO backuper;                                    -- and since 8.0 these
//	GRANT SELECT ON performance_schema.log_status TO backuper;
//
// # The proof
//
//   - STORED: the tool ended well and said that its output is complete.
//   - CHECKED (default): the object is read back, its checksum compared. Logical: it begins as a dump does
//     and ends with the mark. Physical: the files are unpacked and the tool recovers them (--prepare).
//   - RESTORED: CHECKED, and in a scratch server on a private socket, which is ended afterwards. Logical: the
//     dump is loaded. Its tables, and the rows of each as they were counted in the stream, its views, and
//     the number of its triggers, routines, events and sequences have to be there. Then it is dumped again,
//     and the rows of each table compared by a checksum of their text, in whatever order. Physical: a server
//     starts on the recovered files, CHECK TABLE finds every table sound, and rows are counted. The scratch
//     server runs as the executor's user, root included; it can read and write files in its own folder alone.
//
// Rows are compared by number alone, and the proof says so, where the same row may have another text: the
// copy was made by another version of the tool, or of a server of another release than the scratch server; in
// tables with the columns AS ROW START of a history, which the server fills anew; and in tables with a column of
// MySQL's own type JSON, in which a decimal number comes back as a double. Tables that show the rows of others (the
// engines MERGE, FEDERATED, CONNECT, SPIDER, OQGRAPH and VP) have to be there, and are not counted, in a
// physical copy neither: the tools dump no row of them. A zero and a negative one are the same: MySQL loads -0 as 0.
//
// A row that takes more than 1 GB as text, with a blob of 512 MB say, could be dumped and never loaded, since no
// server takes a larger statement: such a backup fails as soon as that row comes.
//
// A database whose views refer to another that is not in the copy cannot be loaded alone.
//
// # A restore
//
// Logical: into the database that the request names, else the only one that the target instance names,
// else that of the copy. A database with any table, view, routine or event is refused unless Overwrite. A table named
// _backupbus_restore_… marks a database that is being filled; by it, what a killed restore left is known
// and dropped, and nothing else ever is. On an error what was not there is gone again, and what was empty is
// empty, unless others made tables in it meanwhile: then it stays as it is, and the failure says so. The
// binary log stays on.
//
// With Overwrite a copy of one database is first loaded into a database of its own beside the target, so
// what the server refuses it refuses before the target is touched; this takes the time twice. Then the
// target is dropped and filled. The trial leaves out events, which the server would run. What fails after that, a server that dies say, leaves the target without
// its old content, and the failure says so. A copy of several databases is not tried first.
//
//	GRANT ALL ON `target`.* TO restorer;
//	GRANT ALL ON `\_backupbus\_restore\_%`.* TO restorer;                     -- with Overwrite
//	GRANT SUPER ON *.* TO restorer;                                           -- views and routines of other definers;
//	GRANT SET USER ON *.* TO restorer;                                        -- MariaDB: enough for those, from 11 on
//	                                                                          -- SUPER is not,
//	GRANT SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER, SYSTEM_USER ON *.*      -- MySQL: these in its place, the last
//	  TO restorer;                                                            -- for definers that have it, root say
//
// Routines and triggers need SUPER too where MySQL writes a binary log without log_bin_trust_function_creators.
//
// Physical: into the target's dataDir, a path that does not exist or is empty, on the executor's machine.
// The files grow beside it and appear when they are recovered. They belong to the executor's user: chown
// them to the server's account, then start it. Overwrite is not offered.
//
// # Unchanged
//
// The fingerprint of a logical backup holds the end of InnoDB's log (MySQL: how often it was written to as well, since
// the end that is told there is moments behind), which every change of rows or tables moves, logged or not, the server's
// identity and start, the GTID, and the definitions of views, triggers, routines, events and databases, which lie outside
// of InnoDB. A dump does not move it in MariaDB. In MySQL it mostly does, since the numbers of its transactions are noted
// in the log, every 256th: there a database is seldom known to be unchanged, and is backed up. It is unknown, and so never
// equal, if a table is not InnoDB, if the server does not tell its log's end, and for physical copies. It changes without a change of data by writes to other databases of the server, rollbacks,
// restarts, and what InnoDB tidies up in the seconds after a write.
//
// # Not covered
//
// Accounts and their privileges (logical). Tables without transactions may be of different moments: their
// number stands in the manifest's tool flags. The history of system-versioned tables. Accounts that are
// identified by a socket or a plugin instead of a password. Clusters whose servers refuse user-level locks:
// sessions of a killed executor end there when the server notices. A schema change in the middle of a dump
// fails it, and it may be tried again. MySQL's histograms. Digits of a FLOAT beyond the six that the tools write.
// MySQL's masking policies, which belong to the server: a table that names one is restored only where there is one of that name. An event of
// MySQL's that was made in the middle of several statements sent at once keeps the semicolon behind it, and the tool
// writes what no server loads: RESTORED tells.
//
// What is said here of logical copies holds for MariaDB 10.11 and MySQL 9.7, against which the tests run; with
// MariaDB 11.8 they were run by hand. Not run: xtrabackup, so nothing of physical copies of MySQL, and older versions of
// MySQL.
package mysql
