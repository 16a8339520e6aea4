package mysql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

const (
	// maxMarker leaves room for a number in the name of a lock, which has 64 characters.
	maxMarker = 60
	// markedSessions are how many sessions of one run can be found again. A dump has one, mariadb-backup a few.
	markedSessions = 16
)

// marker names the sessions of one attempt, or of one restore. They hold user-level locks of that name: every
// server knows those, they need no privilege, are in nobody's way, and are gone with their session.
func marker(kind, id string, attempt int) string {
	m := fmt.Sprintf("backupbus-%s-%s-%d", kind, id, attempt)
	if len(m) > maxMarker || strings.ContainsFunc(m, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) {
		sum := sha256.Sum256([]byte(m))
		m = "backupbus-" + hex.EncodeToString(sum[:16])
	}
	return m
}

func backupMarker(j executor.Job) string { return marker("backup", j.BackupID, j.Attempt) }

func restoreMarker(j executor.RestoreJob) string { return marker("restore", j.RestoreID, 0) }

// lockOf is the lock of the nth session under a marker, empty for those that are too many.
func lockOf(marker string, n int) string {
	if n >= markedSessions {
		return ""
	}
	return marker + "-" + strconv.Itoa(n)
}

// Sweep implements engine.Sweeper: a session that waits for a lock outlives its killed client on the server.
func (e *Engine) Sweep(ctx context.Context, j executor.Job) error {
	s, err := e.connect(ctx, j.Config)
	if err != nil {
		return err
	}
	return errors.Join(s.sweep(ctx, backupMarker(j)), s.close())
}

// sweep ends the sessions under a marker and waits until they are gone.
func (s *server) sweep(ctx context.Context, marker string) error {
	var questions []string
	for n := range markedSessions {
		questions = append(questions, "IS_USED_LOCK('"+lockOf(marker, n)+"')")
	}
	found, err := s.rows(ctx, "SELECT "+strings.Join(questions, ", "))
	if err != nil {
		if isRefusal(err) { // a cluster that knows no such locks has marked none
			return nil
		}
		return failure(err)
	}
	var ids []uint64
	for _, text := range found[0] {
		if id, err := strconv.ParseUint(text, 10, 64); err == nil { // NULL: nobody holds it
			ids = append(ids, id)
		}
	}
	return s.endSessions(ctx, ids)
}
