package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// dumpObject is the part that a logical copy consists of.
const dumpObject = "dump.sql"

// Prepare implements engine.Engine.
func (e *Engine) Prepare(ctx context.Context, j executor.Job) (engine.Source, error) {
	prepare := e.prepareDump
	switch j.Config.Method {
	case "", events.MethodLogical:
	case events.MethodPhysical:
		prepare = e.preparePhysical
	default:
		return nil, rejected("the method of the instance is not known: use LOGICAL or PHYSICAL")
	}
	s, err := e.connect(ctx, j.Config)
	if err != nil {
		return nil, err
	}
	src, err := prepare(ctx, s, j)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return src, nil
}

// dump is the source of a logical copy: one run of the server's own dump program.
type dump struct {
	*server
	program   program
	marker    string // of the tool's session
	now       func() time.Time
	databases []schema
	single    bool // by name, without statements that choose a database
	logs      bool // the position in the binary log is taken too
	bytes     int64
	others    int
	print     string // fingerprint, taken before the snapshot

	began    time.Time
	position string
	sessions []uint64
}

func (e *Engine) prepareDump(ctx context.Context, s *server, j executor.Job) (engine.Source, error) {
	d := &dump{server: s, marker: backupMarker(j), now: e.Now}
	var err error
	if d.program, err = e.fitting(ctx, s, s.names("mariadb-dump", "mysqldump")...); err != nil {
		return nil, err
	}
	if d.databases, d.single, err = s.chosen(ctx, j); err != nil {
		return nil, err
	}
	if err := s.mayDump(ctx, j, d.databases); err != nil {
		return nil, err
	}
	if err := s.hasRoom(ctx); err != nil {
		return nil, err
	}
	return d, d.measure(ctx)
}

// mayDump sees that nothing would be left out for want of a privilege.
func (s *server) mayDump(ctx context.Context, j executor.Job, databases []schema) error {
	held, err := s.grants(ctx)
	if err != nil {
		return err
	}
	missing := held.missingForDump(s.mariadb, namesOf(databases))
	if j.Database == "" && len(j.Config.Databases) == 0 && !held.seesAll() {
		missing = append(missing, "SHOW DATABASES (or name the instance's databases)")
	}
	return lacks(missing)
}

func (d *dump) measure(ctx context.Context) (err error) {
	if len(d.databases) == 0 {
		return nil
	}
	names := namesOf(d.databases)
	if d.logs, err = d.logsForDump(ctx); err != nil {
		return err
	}
	if d.bytes, err = d.size(ctx, names); err != nil {
		return err
	}
	if d.others, err = d.otherEngines(ctx, names); err != nil {
		return err
	}
	d.print, err = d.fingerprint(ctx, names)
	return err
}

// logsForDump tells that the tool can take the position in the binary log. MariaDB tells it inside the
// snapshot to everybody; MySQL's tool locks all tables for a moment, which takes privileges of its own.
func (d *dump) logsForDump(ctx context.Context) (bool, error) {
	on, err := d.server.logs(ctx)
	if err != nil || !on || d.mariadb {
		return on, err
	}
	held, err := d.grants(ctx)
	return (held.global("RELOAD") || held.global("FLUSH_TABLES")) && held.global("REPLICATION CLIENT"), err
}

// ScratchNeed implements engine.Scratching: what a server on the data takes at least.
func (d *dump) ScratchNeed(to events.Proof) int64 {
	if to != events.ProofRestored {
		return 0
	}
	return d.bytes + scratchOwn
}

// Parts implements engine.Source: one stream, so that all databases are of one moment.
func (d *dump) Parts() []engine.Part {
	if len(d.databases) == 0 {
		return nil
	}
	p := engine.Part{Name: dumpObject, Bytes: d.bytes, Stream: d.stream, Recipe: "| " + d.client() + " --binary-mode --comments --default-character-set=utf8mb4"}
	if d.single {
		p.Database = d.databases[0].name
		p.Recipe = "| { printf '%s\\n' " + shellQuote("CREATE DATABASE "+quote(p.Database)+"; USE "+quote(p.Database)+";") + "; cat; } " + p.Recipe
	}
	return []engine.Part{p}
}

func (d *dump) client() string {
	if d.mariadb {
		return "mariadb"
	}
	return "mysql"
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// About implements engine.Source.
func (d *dump) About() engine.About {
	flags := d.flags()
	if d.others > 0 {
		flags = append(flags, fmt.Sprintf("tables without transactions, which may be of different moments: %d", d.others))
	}
	return engine.About{
		Kind: engine.Logical, EngineVersion: d.version.Text,
		Tool:            archive.Tool{Name: d.program.name, Version: d.program.version.Text, Flags: flags},
		ConsistencyTime: d.began, Position: d.position, Fingerprint: d.print,
	}
}

// Close implements engine.Source.
func (d *dump) Close() error {
	return errors.Join(d.endSessions(context.Background(), d.sessions), d.close())
}

// rowFlags are the arguments of the tool that decide how it writes a row. A proof dumps with them again.
var rowFlags = []string{
	"--single-transaction", "--quick", "--hex-blob", "--routines", "--events", "--triggers",
	"--no-tablespaces", "--skip-dump-date", "--default-character-set=utf8mb4", "--max-allowed-packet=1G",
}

// mysqlFlags keep what is the server's out of a copy of databases. With GTIDs, even commented ones, the tool switches
// the binary log off for whoever loads the dump, so that a restore would not reach the replicas. Policies by which
// columns are masked (since 9.7) belong to no database, and would be dropped and made anew.
var mysqlFlags = []string{"--set-gtid-purged=OFF", "--loose-skip-masking-policies"}

// flags are the arguments of the tool without names.
func (d *dump) flags() []string {
	f := slices.Clone(rowFlags)
	if !d.mariadb {
		f = append(f, mysqlFlags...)
	}
	switch {
	case !d.logs:
	case d.mariadb:
		f = append(f, "--master-data=2", "--gtid")
	case d.program.version.Less(tool.Version{Major: 8, Minor: 4}):
		f = append(f, "--master-data=2")
	default:
		f = append(f, "--source-data=2")
	}
	if !d.single {
		f = append(f, "--databases")
	}
	return f
}

// stream runs the tool. Its output is whole if it ended well and the last line is its mark: it has been
// seen to end well without.
func (d *dump) stream(ctx context.Context, w io.Writer) (content archive.Content, err error) {
	r, err := newRelay(ctx, d.endpoint, d.marker, true)
	if err != nil {
		return content, err
	}
	defer func() {
		d.sessions = append(d.sessions, r.sessions()...)
		r.close()
	}()
	if err := d.preface(w); err != nil {
		return content, err
	}
	seen := &ends{}
	rows := &loadable{limit: largestLine}
	d.began = d.now()
	_, err = tool.Run(ctx, tool.Command{
		Path: d.program.path, Stdout: tool.Looking(w, func(p []byte) error {
			_, _ = seen.Write(p)
			_, err := rows.Write(p)
			return err
		}), Files: []tool.File{{Content: r.options()}},
		Args:  append(append([]string{"--defaults-file={0}"}, d.flags()...), "--"),
		Plain: namesOf(d.databases),
	})
	if why := r.reason(); err != nil && why != nil && ctx.Err() == nil {
		return content, errors.Join(failure(why), err)
	}
	if err != nil {
		return content, ofTool(err)
	}
	if !seen.complete() {
		return content, fmt.Errorf("%w: the last line is %q", unavailable("the tool ended without the mark that its dump is complete: try again, and see the executor's log"), seen.lastLine())
	}
	d.position = seen.position()
	return content, nil
}

// preface lists the databases of a stream of several. For that of a single one it sets the character set of the
// database into which it is loaded, for new tables that name none: the tool says it only where it names the
// database too.
func (d *dump) preface(w io.Writer) error {
	if !d.single {
		return writeListing(w, d.databases)
	}
	db := d.databases[0]
	_, err := fmt.Fprintf(w, "/*!40100 ALTER DATABASE CHARACTER SET %s COLLATE %s */;\n", db.charset, db.collation)
	return err
}
