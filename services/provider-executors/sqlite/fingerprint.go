package sqlite

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Fingerprint implements engine.ChangeDetector: a 64-bit hash (XXH64) over all pages of each file as one
// read transaction sees them. Nothing cheaper is safe: the header's change counter does not move while a
// commit lies in the WAL, and PRAGMA data_version compares only within one connection. So it reads the
// database once and writes nothing. The bytes change without a change of rows by VACUUM alone, and by a
// transaction that writes what was there.
func (e *Engine) Fingerprint(ctx context.Context, j executor.Job) (string, error) {
	found, err := e.files(j.Config, j.Database)
	if err != nil {
		return "", err
	}
	var sums []uint64
	for _, f := range found {
		sum, err := e.hash(ctx, f.path)
		if err != nil {
			return "", err
		}
		sums = append(sums, sum)
	}
	return fingerprint(sums), nil
}

func (e *Engine) hash(ctx context.Context, path string) (uint64, error) {
	s, err := e.begin(ctx, path)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if err := s.stream(ctx, io.Discard); err != nil {
		return 0, copyError(path, err)
	}
	return s.hash.Sum64(), nil
}

func fingerprint(sums []uint64) string {
	var b strings.Builder
	b.WriteString("xxh64")
	for _, s := range sums {
		fmt.Fprintf(&b, ":%016x", s)
	}
	return b.String()
}
