package archive

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Copy is the place of one attempt in one storage, whether something lies there or not.
type Copy struct {
	at     *storage
	prefix string // ends with a slash
}

var (
	backupID   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	copyPrefix = regexp.MustCompile(`^[A-Za-z0-9_~-]{1,64}/[A-Za-z0-9_~-]{1,64}/[A-Za-z0-9_-]{1,64}/attempt-[1-9][0-9]{0,8}/$`)
)

// Of is where the copy of j goes: a function of the job alone. It does not touch the storage.
func (s *Storages) Of(j executor.Job) (*Copy, error) {
	st, err := s.storage(j.Config.Storage)
	if err != nil {
		return nil, err
	}
	prefix, err := prefixOf(j)
	if err != nil {
		return nil, err
	}
	return &Copy{at: st, prefix: prefix}, nil
}

func prefixOf(j executor.Job) (string, error) {
	project, err := events.Token(j.Project)
	if err != nil {
		return "", fmt.Errorf("project of %s: %w", j.BackupID, err)
	}
	instance, err := events.Token(j.Instance)
	if err != nil {
		return "", fmt.Errorf("instance of %s: %w", j.BackupID, err)
	}
	if !backupID.MatchString(j.BackupID) || j.Attempt < 1 {
		return "", fmt.Errorf("job %q attempt %d has no place in a storage", j.BackupID, j.Attempt)
	}
	return fmt.Sprintf("%s/%s/%s/attempt-%d/", project, instance, j.BackupID, j.Attempt), nil
}

// At is the copy that r names: BackupName as Copy.Name writes it. Anything else is refused, so that no
// reference can mean more than one attempt.
func (s *Storages) At(r executor.Ref) (*Copy, error) {
	name, prefix, err := parse(r)
	if err != nil {
		return nil, err
	}
	st, err := s.storage(name)
	if err != nil {
		return nil, err
	}
	return &Copy{at: st, prefix: prefix}, nil
}

func parse(r executor.Ref) (storage, prefix string, err error) {
	name, prefix, ok := strings.Cut(r.BackupName, ":")
	if !ok || !copyPrefix.MatchString(prefix) {
		return "", "", notFound("the backup has no copy in a storage of this executor")
	}
	return name, prefix, nil
}

// Name is `{storage}:{prefix}`, what ProviderRef.BackupName holds.
func (c *Copy) Name() string { return c.at.name + ":" + c.prefix }

// Storage is the name of the storage.
func (c *Copy) Storage() string { return c.at.name }
