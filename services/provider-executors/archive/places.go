package archive

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Name is the storage that an instance means by name: the empty one is the only one, or DefaultName.
func (s *Storages) Name(name string) (string, error) {
	st, err := s.storage(name)
	if err != nil {
		return "", err
	}
	return st.name, nil
}

// Others are the names without first, each once. Those that are not configured are missing, and named by the
// error beside the others.
func (s *Storages) Others(first string, names []string) ([]string, error) {
	var all []string
	var errs []error
	for _, name := range names {
		st, err := s.storage(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if st.name != first && !slices.Contains(all, st.name) {
			all = append(all, st.name)
		}
	}
	return all, errors.Join(errs...)
}

// Further are the places of the named storages beside r's first: the same key in each. What is not configured is
// missing, and named by the error beside the others.
func (s *Storages) Further(r executor.Ref, names []string) ([]*Copy, error) {
	first, prefix, err := parse(r)
	if err != nil {
		return nil, err
	}
	others, err := s.Others(first, names)
	return s.in(others, prefix), err
}

// Everywhere are the places of j in all storages, whatever its instance names.
func (s *Storages) Everywhere(j executor.Job) ([]*Copy, error) {
	prefix, err := prefixOf(j)
	if err != nil {
		return nil, err
	}
	return s.in(s.Names(), prefix), nil
}

// Elsewhere are the same keys in the storages that are not among those of known.
func (s *Storages) Elsewhere(r executor.Ref, known []*Copy) ([]*Copy, error) {
	_, prefix, err := parse(r)
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(s.Names(), func(name string) bool {
		return slices.ContainsFunc(known, func(c *Copy) bool { return c.at.name == name })
	})
	return s.in(names, prefix), nil
}

func (s *Storages) in(names []string, prefix string) []*Copy {
	var all []*Copy
	for _, name := range names {
		all = append(all, &Copy{at: s.byName[name], prefix: prefix})
	}
	return all
}

// earlier are how many attempts before its own are looked for.
const earlier = 20

// Attempts are the places of the attempts of c's backup up to its own, which is first: no later one.
func (c *Copy) Attempts() []*Copy {
	base, number, _ := strings.Cut(c.prefix, "/attempt-")
	n, err := strconv.Atoi(strings.TrimSuffix(number, "/"))
	if err != nil {
		return []*Copy{c}
	}
	all := []*Copy{c}
	for i := n - 1; i >= max(1, n-earlier); i-- {
		all = append(all, &Copy{at: c.at, prefix: base + "/attempt-" + strconv.Itoa(i) + "/"})
	}
	return all
}
