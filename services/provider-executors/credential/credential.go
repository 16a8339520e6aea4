// Package credential resolves what an instance only names: `env:NAME` or `file:/path`. The value lives
// inside the executor and reaches a tool through a file of its own (package tool), never through an
// argument, an environment variable, an event or a log line.
package credential

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/secret"
)

// maxSecret bounds a password file.
const maxSecret = 4096

// Resolver looks secrets up. The zero value allows every name that the process can read.
type Resolver struct {
	// Roots, if any, are the only folders from whose trees credential files are read, links resolved.
	// Without them whoever may register an instance can have any file that the executor may read sent to
	// a server of their choice as a password.
	Roots []string
	// Variables, if any, are the only environment variables that may be named.
	Variables []string
	// Getenv is os.LookupEnv if nil.
	Getenv func(string) (string, bool)
}

// Resolve reads the secret that ref names; the empty ref is no secret. One newline at the end of a file
// is not part of the value. The error holds an events.Failure, which never repeats a value.
func (r Resolver) Resolve(ref string) (secret.Value, error) {
	kind, name, ok := strings.Cut(ref, ":")
	switch {
	case ref == "":
		return secret.Value{}, nil
	case ok && kind == "env":
		return r.variable(name)
	case ok && kind == "file":
		return r.file(name)
	}
	return secret.Value{}, refused("the instance's credentialRef is neither env:NAME nor file:/path: correct it")
}

func (r Resolver) variable(name string) (secret.Value, error) {
	get := r.Getenv
	if get == nil {
		get = os.LookupEnv
	}
	if len(r.Variables) > 0 && !slices.Contains(r.Variables, name) {
		return secret.Value{}, refused("the executor's settings do not allow the instance's credentialRef: add the variable to credentials.variables")
	}
	value, found := get(name)
	if !found || value == "" {
		return secret.Value{}, refused("the variable that the instance's credentialRef names is not set where the executor runs: set it there")
	}
	return usable(value)
}

func (r Resolver) file(path string) (secret.Value, error) {
	if !filepath.IsAbs(path) {
		return secret.Value{}, refused("the instance's credentialRef needs an absolute path: file:/path")
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return secret.Value{}, unreadable(err)
	}
	if !r.allowed(real) {
		return secret.Value{}, refused("the executor's settings do not allow the file of the instance's credentialRef: put it below one of credentials.roots")
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return secret.Value{}, unreadable(err)
	case !info.Mode().IsRegular():
		return secret.Value{}, refused("the file of the instance's credentialRef is no regular file")
	case info.Mode().Perm()&0o007 != 0:
		return secret.Value{}, refused("the file of the instance's credentialRef is open to every user of the machine: take the rights of others away (chmod o-rwx)")
	}
	f, err := os.Open(real)
	if err != nil {
		return secret.Value{}, unreadable(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return secret.Value{}, unreadable(err)
	}
	return usable(strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"))
}

func (r Resolver) allowed(path string) bool {
	if len(r.Roots) == 0 {
		return true
	}
	return slices.ContainsFunc(r.Roots, func(root string) bool {
		root, err := filepath.EvalSymlinks(root)
		if err != nil {
			return false
		}
		rel, err := filepath.Rel(root, path)
		return err == nil && filepath.IsLocal(rel)
	})
}

// usable refuses what no password file of a tool can carry.
func usable(v string) (secret.Value, error) {
	switch {
	case v == "":
		return secret.Value{}, refused("the file of the instance's credentialRef is empty: write the password into it")
	case len(v) > maxSecret:
		return secret.Value{}, refused("the credential of the instance is longer than %d bytes: is it the right file?", maxSecret)
	case strings.ContainsFunc(v, unicode.IsControl):
		return secret.Value{}, refused("the credential of the instance holds a line break or another control character: it has to be one line")
	}
	return secret.Of(v), nil
}

func refused(format string, args ...any) *events.Failure {
	return &events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: fmt.Sprintf(format, args...)}
}

func unreadable(err error) error {
	f := refused("the file of the instance's credentialRef cannot be read by the executor: see that it exists and give the executor's user the right to")
	if errors.Is(err, fs.ErrNotExist) {
		f = refused("the file of the instance's credentialRef does not exist where the executor runs: create it there")
	}
	return fmt.Errorf("%w: %w", f, err)
}
