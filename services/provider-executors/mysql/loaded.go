package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// proveLoads loads the dump into a scratch server and compares what is there with what passed.
func (e *Engine) proveLoads(ctx context.Context, c engine.Copy, o archive.Object) (engine.Loaded, error) {
	kind := &server{mariadb: ofMariaDB(c.Manifest)}
	client, err := e.find(ctx, kind.names("mariadb", "mysql")...)
	if err != nil {
		return engine.Loaded{}, err
	}
	dumper, err := e.find(ctx, kind.names("mariadb-dump", "mysqldump")...)
	if err != nil && ctx.Err() != nil {
		return engine.Loaded{}, err
	} // without it rows are compared by number
	dir, err := c.Scratch(2*o.SourceBytes + scratchOwn)
	if err != nil {
		return engine.Loaded{}, err
	}
	s, err := e.bootScratch(ctx, dir, kind.mariadb)
	if err != nil {
		return engine.Loaded{}, err
	}
	l := loading{scratchServer: s, client: client, dumper: dumper, copy: c, object: o, passed: newScan()}
	loaded, err := l.prove(ctx)
	return loaded, errors.Join(err, s.stop())
}

// loading is one dump that is loaded for a proof.
type loading struct {
	*scratchServer
	client, dumper program
	copy           engine.Copy
	object         archive.Object
	passed         *scan // what was loaded
}

func (l *loading) prove(ctx context.Context) (engine.Loaded, error) {
	if err := l.load(ctx); err != nil {
		return engine.Loaded{}, err
	}
	there, err := l.contents(ctx)
	if err != nil {
		return engine.Loaded{}, failure(err)
	}
	if diff := l.passed.differences(there); diff != nil {
		return engine.Loaded{}, corrupt(notTheSame, diff)
	}
	var loaded engine.Loaded
	for t, n := range there.rows {
		if !l.passed.elsewhere[t] {
			loaded.Tables, loaded.Rows = loaded.Tables+1, loaded.Rows+n
		}
	}
	if !l.comparable() {
		return loaded, nil
	}
	again, err := l.again(ctx, there)
	if err != nil {
		return engine.Loaded{}, err
	}
	if diff := l.passed.rowDifferences(again.contents); diff != nil {
		return engine.Loaded{}, corrupt(notTheSame, diff)
	}
	loaded.Checksums = len(l.passed.byNumber) == 0
	return loaded, nil
}

const notTheSame = "the copy was loaded into a scratch server, and what is there is not what the copy holds: it cannot be trusted"

func (l *loading) load(ctx context.Context) error {
	if l.object.Database != "" {
		if err := l.do(ctx, "CREATE DATABASE "+quote(l.object.Database)); err != nil {
			return failure(err)
		}
	}
	l.passed.database = l.object.Database
	err := load(ctx, l.client, l.options, l.object.Database, l.copy, l.object, func(to io.Writer) io.Writer { return io.MultiWriter(to, l.passed) })
	if err == nil && !l.passed.whole() {
		err = corrupt("the statements of the copy cannot be followed to their end: it cannot be trusted", fmt.Errorf("delimiter %q, SQL mode %q", l.passed.delimiter, l.passed.mode))
	}
	return err
}

// comparable tells that a dump of the scratch server writes a row as that of the source did: the same program of
// the same version with the same flags, and a server of the same release. If not, rows are compared by number.
func (l *loading) comparable() bool {
	made, source := l.copy.Manifest.Tool, tool.ParseVersion(l.copy.Manifest.EngineVersion)
	return made.Name == l.dumper.name && made.Version == l.dumper.version.Text &&
		len(made.Flags) >= len(rowFlags) && slices.Equal(made.Flags[:len(rowFlags)], rowFlags) &&
		source.Major == l.version.Major && source.Minor == l.version.Minor
}

// again dumps what was loaded. Views go first: the tool asks for their columns, which the server refuses where
// their definer is an account of the source alone. Tables that show the rows of others are left out: those may
// not be there.
func (l *loading) again(ctx context.Context, there contents) (*scan, error) {
	for v := range there.views {
		if err := l.do(ctx, "DROP VIEW "+quote(v.database)+"."+quote(v.name)); err != nil {
			return nil, failure(err)
		}
	}
	args, names := append([]string{"--defaults-file={0}"}, rowFlags...), []string{"--", l.object.Database}
	if l.object.Database == "" {
		args, names = append(args, "--databases"), append([]string{"--"}, namesOf(l.passed.databases)...)
	}
	for t := range there.elsewhere {
		names = append([]string{"--ignore-table=" + t.database + "." + t.name}, names...)
	}
	seen, end := newScan(), &ends{}
	seen.database = l.object.Database
	_, err := tool.Run(ctx, tool.Command{
		Path: l.dumper.path, Stdout: io.MultiWriter(seen, end), Files: []tool.File{{Content: l.options}}, Args: args, Plain: names,
	})
	switch {
	case err != nil:
		return nil, ofTool(err)
	case !end.complete() || !seen.whole():
		return nil, unavailable("the tool ended before it had read all of the scratch server: try again, and see the executor's log")
	}
	return seen, nil
}
