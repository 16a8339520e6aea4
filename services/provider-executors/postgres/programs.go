package postgres

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

const tooOld = "the PostgreSQL programs where the executor runs are older than the server: install those of the server's major version or a newer one"

var versionForm = regexp.MustCompile(`\(PostgreSQL\) (\S+)`)

// program is a program of PostgreSQL that was found.
type program struct {
	path    string
	version tool.Version
}

// program finds name with at least that major version. A configured path is the only candidate. Else the
// same major wins, since what a newer tool writes need not load into the same server; after it what PATH
// has, and then the highest of the versions that lie side by side.
func (e *Engine) program(ctx context.Context, name string, atLeast int) (program, error) {
	all, err := e.candidates(ctx, name)
	if err != nil {
		return program{}, err
	}
	fit := slices.DeleteFunc(slices.Clone(all), func(p program) bool { return p.version.Major < atLeast })
	if len(fit) == 0 {
		return program{}, fmt.Errorf("%w: %s is %s, %d is needed", rejected("%s", tooOld), name, all[0].version.Text, atLeast)
	}
	if i := slices.IndexFunc(fit, func(p program) bool { return p.version.Major == atLeast }); i >= 0 {
		return fit[i], nil
	}
	return fit[0], nil
}

// sameProgram is program with exactly that major version.
func (e *Engine) sameProgram(ctx context.Context, name string, major int) (program, error) {
	all, err := e.candidates(ctx, name)
	if err != nil {
		return program{}, err
	}
	for _, p := range all {
		if p.version.Major == major {
			return p, nil
		}
	}
	return program{}, rejected("the program %s of major version %d is not installed where the executor runs, and proof RESTORED needs it: install that version of the server there, or ask for proof CHECKED", name, major)
}

// candidates are what is there under name, the preferred one first.
func (e *Engine) candidates(ctx context.Context, name string) ([]program, error) {
	if e.Programs[name] != "" {
		path, err := e.Programs.Find(name)
		if err != nil {
			return nil, err
		}
		p, err := versioned(ctx, path)
		return []program{p}, err
	}
	var all []program
	for _, path := range e.places(name) {
		p, err := versioned(ctx, path)
		if errors.Is(err, ctx.Err()) && ctx.Err() != nil {
			return nil, err
		}
		if err == nil {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		_, err := e.Programs.Find(name)
		if err == nil {
			err = rejected("the program %s does not run where the executor runs: reinstall it", name)
		}
		return nil, err
	}
	return all, nil
}

// places are the paths under which name lies. Debian's wrapper is left out: it chooses a version by things
// that a child of the executor does not have.
func (e *Engine) places(name string) []string {
	var all []string
	if path, err := exec.LookPath(name); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil && filepath.Base(real) != "pg_wrapper" {
			all = append(all, path)
		}
	}
	var versions []string
	for _, pattern := range e.config.BinDirs {
		found, _ := filepath.Glob(filepath.Join(pattern, name))
		versions = append(versions, found...)
	}
	slices.SortFunc(versions, func(a, b string) int { return tool.ParseVersion(b).Major - tool.ParseVersion(a).Major })
	return append(all, versions...)
}

func versioned(ctx context.Context, path string) (program, error) {
	v, err := tool.VersionOf(ctx, path, versionForm)
	if err == nil {
		return program{path, v}, nil
	}
	var exit *tool.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %w", rejected("a program of PostgreSQL does not run where the executor runs: see the executor's log and reinstall it"), err)
	}
	return program{path: path}, err
}
