// Package tool runs the databases' own programs as children of the executor.
//
// A child gets a group of its own and dies with the executor (Linux: parent-death signal, so also after
// SIGKILL). Its environment holds what Run gives it and nothing of the executor's, its arguments no secret:
// what is secret lies in a File, which the child sees as /dev/fd/N (Linux: an anonymous memory file with
// mode 0600, the one form that mariadb, mariadb-backup and libpq's passfile accept) or as a file in a
// private folder that is gone when Run returns.
//
// Whether a run succeeded is its exit status; whether its output is whole is for the caller, who knows the
// tool's end marker.
package tool
