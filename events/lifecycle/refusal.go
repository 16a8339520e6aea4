package lifecycle

import "github.com/backupbus/backupbus/events"

// Refuse makes a request one that is accepted and must not be tried: it carries the failure that it ends with, so
// whoever meets it first can end it (cloudsql.md PD-6).
func Refuse(b events.Backup, f *events.Failure) events.Backup {
	b.Error = f
	return b
}

// Refused is the failure with which a backup is to end instead of being tried; nil if it may be tried.
func Refused(b events.Backup) *events.Failure {
	if b.Attempt == 0 && PhaseOf(b) == Waiting {
		return b.Error
	}
	return nil
}
