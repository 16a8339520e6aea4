package sqlite

import (
	"path/filepath"

	"github.com/backupbus/backupbus/events"
)

// file is one database of an instance.
type file struct {
	name string // the last element of its path, which is what the instance calls the database
	path string // as configured
}

// configured are the databases that an instance names, File first. Two with one name are refused: nobody
// could say which one a copy is of.
func configured(c events.InstanceConfig) ([]file, error) {
	var all []file
	seen := map[string]bool{}
	for _, path := range append([]string{c.File}, c.Files...) {
		if err := absolute(path); err != nil {
			return nil, err
		}
		name := filepath.Base(path)
		if seen[name] {
			return nil, rejected("two files of the instance have one name: register them as instances of their own")
		}
		seen[name] = true
		all = append(all, file{name, path})
	}
	return all, nil
}

// files are the existing databases that a job is about, links resolved: all of the instance, or the one
// that was asked for.
func (e *Engine) files(c events.InstanceConfig, database string) ([]file, error) {
	all, err := configured(c)
	if err != nil {
		return nil, err
	}
	var found []file
	for _, f := range all {
		if database != "" && f.name != database {
			continue
		}
		if f.path, err = e.source(f.path); err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		return nil, &events.Failure{Code: events.NotFound, Category: events.ByUser,
			Message: "the instance has no file of the name that was asked for as database: see its configuration"}
	}
	return found, nil
}
