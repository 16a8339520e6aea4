package postgres

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// folderOf places files below a folder, for one account alone.
type folderOf struct {
	root    string
	as      *tool.Account // nil: the executor's own
	durable bool          // a file is on disk before the next begins
	space   engine.Place
}

func (p folderOf) folder(name string) error {
	dir := filepath.Join(p.root, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return p.space.Failure(err)
	}
	return p.give(dir)
}

func (p folderOf) file(name string) (io.WriteCloser, error) {
	f, err := os.OpenFile(filepath.Join(p.root, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, p.space.Failure(err)
	}
	if err := p.give(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return placedFile{f, p}, nil
}

func (p folderOf) give(path string) error {
	if p.as == nil {
		return nil
	}
	if err := os.Lchown(path, int(p.as.UID), int(p.as.GID)); err != nil {
		return p.space.Failure(err)
	}
	return nil
}

// placedFile gives the errors of its file their Failure.
type placedFile struct {
	*os.File
	of folderOf
}

func (f placedFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if err != nil {
		err = f.of.space.Failure(err)
	}
	return n, err
}

// ReadFrom is not the file's own, which would pass Write by.
func (f placedFile) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{f}, r)
}

func (f placedFile) Close() error {
	var err error
	if f.of.durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.File.Close()); err != nil {
		return f.of.space.Failure(err)
	}
	return nil
}
