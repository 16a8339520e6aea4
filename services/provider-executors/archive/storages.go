package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"filippo.io/age"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"

	"github.com/backupbus/backupbus/events"
)

// DefaultName is the storage that an instance uses which names none, if there are several.
const DefaultName = "default"

// Options say where copies are kept, and in what form.
type Options struct {
	// URLs are the storages, name to URL: `file:///folder`, or a scheme of Openers.
	URLs map[string]string
	// Openers open buckets of other schemes than file. Package remote has those of the clouds.
	Openers map[string]Opener
	// Compression of new objects; the zero value is the built-in one.
	Compression Compression
	// Identities is a file of age identities (AGE-SECRET-KEY-1…), by which encrypted copies are read. It is
	// read anew each time, so keys may be added while the executor runs. Empty: none can be read.
	Identities string
	// BytesPerSecond bounds what goes to each storage; 0: no bound.
	BytesPerSecond int64
}

// Opener opens the bucket of a URL.
type Opener func(ctx context.Context, u *url.URL) (Remote, error)

// Remote is a bucket that is not a folder.
type Remote struct {
	Bucket *blob.Bucket
	// Sweep ends the uploads below a prefix that a killed process has left half done: they are no objects,
	// and cost. Nil: the storage forgets them itself.
	Sweep func(ctx context.Context, prefix string) error
	// Code says what an error of the bucket means. That of gocloud.dev takes some for NotFound that are not: what is
	// refused, or a name that the network does not know. Nil: gcerrors.Code.
	Code func(error) gcerrors.ErrorCode
	// NewWriter is that of the bucket, where the bucket's own cannot be used. To close it after the end of ctx stores
	// nothing. Nil: Bucket.NewWriter.
	NewWriter func(ctx context.Context, key string, o *blob.WriterOptions) (io.WriteCloser, error)
}

// Storages are the places where copies are kept, by name. Safe for concurrent use.
type Storages struct {
	byName map[string]*storage
	keys   string
}

// storage is one opened place. dir is its folder, empty if it is not a file storage.
type storage struct {
	name        string
	bucket      *blob.Bucket
	dir         string
	sweep       func(ctx context.Context, prefix string) error
	meaning     func(error) gcerrors.ErrorCode // Remote.Code
	newWriter   func(ctx context.Context, key string, o *blob.WriterOptions) (io.WriteCloser, error)
	compression Compression
	limit       *limit
	identities  func() ([]age.Identity, error)
}

var storageName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Open opens the storages and proves that each can be written. A missing folder is created for this user
// alone (0700). One bad storage fails all; the error holds the events.Failure that says what to do. Who
// opens, closes.
func Open(ctx context.Context, o Options) (*Storages, error) {
	if len(o.URLs) == 0 {
		return nil, rejected("no storage is configured: name one with a URL such as file:///var/backups")
	}
	o.Compression = o.Compression.withDefaults()
	if c := o.Compression; c.Level < 1 || c.Level > maxCompressionLevel || c.Threads < 1 || c.Threads > 64 {
		return nil, rejected("compression: the level is 1 to %d and there are 1 to 64 threads", maxCompressionLevel)
	}
	s := &Storages{byName: map[string]*storage{}, keys: o.Identities}
	if _, err := s.identities(); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(o.URLs)) {
		st, err := openStorage(ctx, name, o.URLs[name], o.Openers)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		st.compression, st.limit, st.identities = o.Compression, newLimit(o.BytesPerSecond), s.identities
		s.byName[name] = st
	}
	return s, nil
}

// Names are the names of the storages, sorted.
func (s *Storages) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }

// Probe writes, reads and removes a small object. It returns the name of the storage, which the empty name
// has too.
func (s *Storages) Probe(ctx context.Context, name string) (string, error) {
	st, err := s.storage(name)
	if err != nil {
		return name, err
	}
	return st.name, st.probe(ctx)
}

// maxIdentities bounds the identity file.
const maxIdentities = 1 << 20

// identities reads the identity file. The error never repeats its content.
func (s *Storages) identities() ([]age.Identity, error) {
	if s.keys == "" {
		return nil, nil
	}
	info, err := os.Stat(s.keys)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, locked("the identity file of the executor is open to other users of the machine: chmod 600 it")
	}
	b, err := os.ReadFile(s.keys)
	if err != nil || len(b) > maxIdentities {
		return nil, fmt.Errorf("%w: %w", locked("the identity file of the executor cannot be read: correct its setting identities"), err)
	}
	keys, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil { // err repeats the line
		return nil, locked("the identity file of the executor is not one of age's: age-keygen makes one")
	}
	return keys, nil
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

func openStorage(ctx context.Context, name, rawURL string, openers map[string]Opener) (*storage, error) {
	if !storageName.MatchString(name) {
		return nil, rejected("storage name %q does not match %s", events.Clip(name, 64), storageName)
	}
	u, err := url.Parse(rawURL)
	if err != nil { // the URL itself may hold a credential and is never repeated
		return nil, rejected("the URL of storage %q cannot be read", name)
	}
	st := &storage{name: name}
	if open := openers[u.Scheme]; open != nil {
		var r Remote
		r, err = open(ctx, u)
		st.bucket, st.sweep, st.meaning, st.newWriter = r.Bucket, r.Sweep, r.Code, r.NewWriter
	} else {
		err = st.openFolder(u, openers)
	}
	if err != nil {
		return nil, st.fail("open", err)
	}
	if err := st.probe(ctx); err != nil {
		return nil, errors.Join(err, st.bucket.Close())
	}
	return st, nil
}

func (st *storage) openFolder(u *url.URL, others map[string]Opener) (err error) {
	if st.dir, err = folder(st.name, u, others); err != nil {
		return err
	}
	st.bucket, err = fileblob.OpenBucket(st.dir, &fileblob.Options{
		CreateDir:   true,
		DirFileMode: 0o700,
		NoTempDir:   true, // the temporary file lies beside the object: renaming never crosses a device
		Metadata:    fileblob.MetadataDontWrite,
	})
	return err
}

// folder is the path of a file URL.
func folder(name string, u *url.URL, others map[string]Opener) (string, error) {
	switch {
	case u.Scheme != "file":
		known := append([]string{"file"}, slices.Sorted(maps.Keys(others))...)
		return "", rejected("storage %q: its URL begins with none of %s://", name, strings.Join(known, "://, "))
	case u.Host != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !filepath.IsAbs(u.Path):
		return "", rejected("storage %q: a file URL is file:///folder, with three slashes and nothing after the folder", name)
	}
	return filepath.Clean(u.Path), nil
}

// probe writes, reads and removes a small object.
func (st *storage) probe(ctx context.Context) error {
	key := ".writable-" + rand.Text()
	if err := st.put(ctx, key, []byte(key)); err != nil {
		return fmt.Errorf("prove that storage %s can be written: %w", st.name, err)
	}
	got, err := st.bucket.ReadAll(ctx, key)
	if err != nil {
		return st.fail("read back the probe of", err)
	}
	if string(got) != key {
		return corrupt(fmt.Sprintf("storage %q does not give back what was written to it: see that it is healthy", st.name), nil)
	}
	if err := st.bucket.Delete(ctx, key); err != nil {
		return st.fail("remove the probe of", err)
	}
	if st.sweep != nil { // needs a right of its own, without which nothing could be deleted later
		if err := st.sweep(ctx, key); err != nil {
			return st.fail("list unfinished uploads of", err)
		}
	}
	return nil
}
