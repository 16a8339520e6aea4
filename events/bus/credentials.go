package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// credentials proves who connects by what a file holds: the seed of a nkey, or a whole .creds file. Its public
// half is read once, so a new seed is taken with a restart.
func credentials(path string) (nats.Option, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if strings.Contains(text, "-----BEGIN NATS USER JWT-----") {
		return nats.UserCredentials(path), nil
	}
	o, err := nats.NkeyOptionFromSeed(path)
	if err != nil { // which may quote the file
		return nil, fmt.Errorf("credentials: %s holds neither the seed of a NATS user nor a .creds file", path)
	}
	return o, nil
}

// readSecret refuses what others than its owner may read.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no plain file", path)
	case info.Mode().Perm()&^fs.FileMode(0o600) != 0:
		return "", fmt.Errorf("%s has mode %04o, which is wider than 0600: run chmod 600 on it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// KeyFile is where a user's seed is kept in a folder of keys.
func KeyFile(dir, user string) string { return filepath.Join(dir, user+".nk") }

// UserKey is a user's public key. A seed that is missing is made, one that is there is left as it is.
func UserKey(dir, user string) (string, error) {
	path := KeyFile(dir, user)
	text, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newKey(path)
	}
	if err != nil {
		return "", fmt.Errorf("key of %s: %w", user, err)
	}
	pair, err := nkeys.ParseDecoratedNKey([]byte(text))
	if err != nil {
		return "", fmt.Errorf("key of %s: %s holds no seed", user, path)
	}
	defer pair.Wipe()
	public, err := pair.PublicKey()
	if err != nil || !nkeys.IsValidPublicUserKey(public) {
		return "", fmt.Errorf("key of %s: %s holds no seed of a user", user, path)
	}
	return public, nil
}

// newKey writes a new seed; the name is there once the seed is whole.
func newKey(path string) (string, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(append(seed, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	if err := os.Link(f.Name(), path); err != nil { // never over one that somebody else has just made
		return "", err
	}
	return pair.PublicKey()
}
