// Package secret follows what settings only name: `env:NAME` or `file:/path`. Errors name the reference and never
// what it leads to.
package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	envRef, fileRef = "env:", "file:"
	maxSecret       = 16 << 10 // tokens of clouds have some 3 KiB
)

// Check looks at the form of a reference. It does not repeat it: somebody may have put the secret there.
func Check(ref string) error {
	name, isEnv := strings.CutPrefix(ref, envRef)
	path, isFile := strings.CutPrefix(ref, fileRef)
	switch {
	case ref == "":
		return errors.New("is missing: name where the secret is, as env:NAME or file:/path")
	case isEnv && (name == "" || strings.Contains(name, "=")):
		return errors.New("names no environment variable: write it as env:NAME")
	case isFile && !filepath.IsAbs(path):
		return errors.New("is no absolute path: write it as file:/path")
	case !isEnv && !isFile:
		return errors.New("is neither env:NAME nor file:/path: the secret itself does not belong into the settings")
	}
	return nil
}

// Read follows a reference that Check accepts. env is os.LookupEnv, or a test's.
func Read(ref string, env func(string) (string, bool)) (string, error) {
	if name, ok := strings.CutPrefix(ref, envRef); ok {
		v, set := env(name)
		if !set {
			return "", fmt.Errorf("environment variable %s is not set: set it to the secret", name)
		}
		if len(v) > maxSecret {
			return "", fmt.Errorf("environment variable %s has more than %d bytes: it has to hold the secret and nothing else", name, maxSecret)
		}
		return strings.TrimSpace(v), nil
	}
	return readFile(strings.TrimPrefix(ref, fileRef))
}

// readFile refuses a file that others than its owner may read, or write, or that is no plain file.
func readFile(path string) (string, error) {
	if info, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	} else if !info.Mode().IsRegular() { // opening a pipe would hang
		return "", fmt.Errorf("%s is no plain file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	if wide := info.Mode().Perm() &^ fs.FileMode(0o600); wide != 0 {
		return "", fmt.Errorf("%s has mode %04o, which is wider than 0600: run chmod 600 on it", path, info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	if len(b) > maxSecret {
		return "", fmt.Errorf("%s has more than %d bytes: it has to hold the secret and nothing else", path, maxSecret)
	}
	return strings.TrimSpace(string(b)), nil
}
