package mysql

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// program is one of the database's own tools.
type program struct {
	name, path string
	version    tool.Version
}

// versionForm finds the version in `mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for …`,
// `mariadb-dump from 11.4.2-MariaDB, client 10.19 …`, `mysqldump  Ver 8.4.3 for Linux …`.
var versionForm = regexp.MustCompile(`(?:Distrib |from |Ver |server )(\d+\.\d+\.\d+[^,\s]*)`)

// names are what a tool is called, the first first.
func (s *server) names(mariadb, mysql string) []string {
	if s.mariadb {
		return []string{mariadb, mysql}
	}
	return []string{mysql}
}

// fitting finds a tool and sees that it is of the server's kind and not older.
func (e *Engine) fitting(ctx context.Context, s *server, names ...string) (program, error) {
	p, err := e.find(ctx, names...)
	if err != nil {
		return p, err
	}
	ofMariaDB := strings.Contains(p.version.Text, "MariaDB")
	switch {
	case ofMariaDB != s.mariadb:
		return p, rejected("the program %s of the executor is not of the server's kind, which is %s: install that of %s, or name its path in the executor's setting tools", p.name, s.flavour(), s.flavour())
	case p.version.Major < s.version.Major:
		return p, rejected("the program %s of the executor is of version %d.%d and the server of %d.%d: install one that is not older, or name its path in the executor's setting tools",
			p.name, p.version.Major, p.version.Minor, s.version.Major, s.version.Minor)
	}
	return p, nil
}

// find finds a tool and asks for its version.
func (e *Engine) find(ctx context.Context, names ...string) (program, error) {
	path, err := e.Programs.Find(names...)
	if err != nil {
		return program{}, err
	}
	p := program{name: path[strings.LastIndexByte(path, '/')+1:], path: path}
	for _, n := range names {
		if e.Programs[n] == path {
			p.name = n
		}
	}
	p.version, err = tool.VersionOf(ctx, path, versionForm)
	var exit *tool.ExitError
	if errors.As(err, &exit) {
		return p, errors.Join(rejected("the program %s of the executor does not say its version: see that it is the right one", p.name), err)
	}
	return p, err
}
