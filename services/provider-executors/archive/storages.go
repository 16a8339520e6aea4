package archive

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"

	"github.com/backupbus/backupbus/events"
)

// DefaultName is the storage that an instance uses which names none, if there are several.
const DefaultName = "default"

// Storages are the places where copies are kept, by name. Safe for concurrent use.
type Storages struct {
	byName map[string]*storage
}

// storage is one opened place. dir is its folder, empty if it is not a file storage.
type storage struct {
	name   string
	bucket *blob.Bucket
	dir    string
}

var storageName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Open opens the storages (name to URL) and proves that each can be written. A URL is `file:///folder`:
// a missing folder is created for this user alone (0700). One bad storage fails all; the error holds
// the events.Failure that says what to do. Who opens, closes.
func Open(ctx context.Context, urls map[string]string) (*Storages, error) {
	if len(urls) == 0 {
		return nil, rejected("no storage is configured: name one with a URL such as file:///var/backups")
	}
	s := &Storages{byName: map[string]*storage{}}
	for _, name := range slices.Sorted(maps.Keys(urls)) {
		st, err := openStorage(ctx, name, urls[name])
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.byName[name] = st
	}
	return s, nil
}

// Close closes every storage.
func (s *Storages) Close() error {
	var errs []error
	for _, st := range s.byName {
		errs = append(errs, st.bucket.Close())
	}
	return errors.Join(errs...)
}

// storage finds a storage; the empty name is the only one, or DefaultName.
func (s *Storages) storage(name string) (*storage, error) {
	if name == "" {
		name = DefaultName
		if len(s.byName) == 1 {
			for only := range s.byName {
				name = only
			}
		}
	}
	if st := s.byName[name]; st != nil {
		return st, nil
	}
	return nil, rejected("storage %q is not configured in this executor: configure it, or name another in the instance", events.Clip(name, 64))
}

func openStorage(ctx context.Context, name, rawURL string) (*storage, error) {
	if !storageName.MatchString(name) {
		return nil, rejected("storage name %q does not match %s", events.Clip(name, 64), storageName)
	}
	dir, err := folder(name, rawURL)
	if err != nil {
		return nil, err
	}
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{
		CreateDir:   true,
		DirFileMode: 0o700,
		NoTempDir:   true, // the temporary file lies beside the object: renaming never crosses a device
		Metadata:    fileblob.MetadataDontWrite,
	})
	st := &storage{name: name, bucket: bucket, dir: dir}
	if err != nil {
		return nil, st.fail("open", err)
	}
	if err := st.probe(ctx); err != nil {
		return nil, errors.Join(err, bucket.Close())
	}
	return st, nil
}

// folder is the path of a file URL. The URL itself may hold a credential and is never repeated.
func folder(name, rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return "", rejected("the URL of storage %q cannot be read", name)
	case u.Scheme != "file":
		return "", rejected("storage %q: only file:///folder is supported yet", name)
	case u.Host != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !filepath.IsAbs(u.Path):
		return "", rejected("storage %q: a file URL is file:///folder, with three slashes and nothing after the folder", name)
	}
	return filepath.Clean(u.Path), nil
}

// probe writes and removes a small object.
func (st *storage) probe(ctx context.Context) error {
	key := ".writable-" + rand.Text()
	if err := st.put(ctx, key, []byte("backupbus\n")); err != nil {
		return fmt.Errorf("prove that storage %s can be written: %w", st.name, err)
	}
	if err := st.bucket.Delete(ctx, key); err != nil {
		return st.fail("remove the probe of", err)
	}
	return nil
}
