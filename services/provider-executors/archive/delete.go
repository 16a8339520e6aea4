package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Delete removes everything of the attempt: the manifest first, so that it never outlives its object,
// then the object and the temporary files that a killed process left. It returns the bytes set free.
// Nothing there is no error; after nil nothing is there.
func (c *Copy) Delete(ctx context.Context) (int64, error) {
	if err := c.at.present(); err != nil {
		return 0, err
	}
	found, err := c.list(ctx)
	if err != nil {
		return 0, err
	}
	slices.SortStableFunc(found, func(a, b *blob.ListObject) int {
		return rank(path.Base(a.Key)) - rank(path.Base(b.Key))
	})
	var freed int64
	for _, o := range found {
		if err := c.at.bucket.Delete(ctx, o.Key); err != nil && c.at.code(err) != gcerrors.NotFound {
			return freed, c.at.fail("delete from", err)
		}
		freed += o.Size
	}
	if c.at.sweep != nil {
		if err := c.at.sweep(ctx, c.prefix); err != nil {
			return freed, c.at.fail("end unfinished uploads to", err)
		}
	}
	return freed, c.at.removeFolders(c.prefix)
}

// Remains tells whether anything of the attempt is stored.
func (c *Copy) Remains(ctx context.Context) (bool, error) {
	found, err := c.list(ctx)
	return len(found) > 0, err
}

func (c *Copy) list(ctx context.Context) ([]*blob.ListObject, error) {
	var found []*blob.ListObject
	for it := c.at.bucket.List(&blob.ListOptions{Prefix: c.prefix}); ; {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, c.at.fail("list", err)
		}
		found = append(found, o)
	}
}

func rank(name string) int {
	if name == manifestName {
		return 0
	}
	return 1
}

// present refuses to take a file storage that is away, an unmounted disk say, for an empty one.
func (st *storage) present() error {
	if st.dir == "" {
		return nil
	}
	if _, err := os.Stat(st.dir); err != nil {
		return st.fail("reach", err)
	}
	return nil
}

// removeFolders removes the empty folders of the attempt and of the backup. That the first can be
// removed is also the proof that the listing, which skips what it may not read, saw everything.
func (st *storage) removeFolders(prefix string) error {
	if st.dir == "" {
		return nil
	}
	attempt := filepath.Join(st.dir, filepath.FromSlash(prefix))
	if err := os.Remove(attempt); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return st.fail("delete from", fmt.Errorf("remove the folder of the attempt: %w", err))
	}
	_ = os.Remove(filepath.Dir(attempt)) // still holds another attempt, or is gone
	return nil
}
