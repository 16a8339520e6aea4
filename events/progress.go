package events

// Phases of a running backup (open set).
const (
	Preparing  = "PREPARING"
	Copying    = "COPYING"
	Uploading  = "UPLOADING"
	Finalizing = "FINALIZING"
)

// Progress is the `data` of `backup.progress` and `restore.progress`: droppable, last value only (events.md 2.2). A
// restore has one attempt, which is not counted; its provider and instance are those of the backup, as in its record.
type Progress struct {
	RestoreID   string       `json:"restoreId,omitempty"` // of a restore alone
	BackupID    string       `json:"backupId"`            // of a restore: the one that is read
	Project     string       `json:"project"`
	Provider    string       `json:"provider"`
	Instance    string       `json:"instance"`
	Attempt     int          `json:"attempt,omitempty"` // of a backup alone
	Ordinal     int          `json:"ordinal"`           // from 1 within the attempt
	Phase       string       `json:"phase"`
	Percent     *int         `json:"percent,omitempty"` // 0 to 100
	BytesDone   *int64       `json:"bytesDone,omitempty"`
	BytesTotal  *int64       `json:"bytesTotal,omitempty"`
	ProviderRef *ProviderRef `json:"providerRef,omitempty"`
}

// Aggregate names the backup or the restore.
func (p Progress) Aggregate() Aggregate {
	if p.RestoreID != "" {
		return Aggregate{Project: p.Project, Provider: p.Provider, Instance: p.Instance, Entity: Restores, ID: p.RestoreID}
	}
	return Aggregate{Project: p.Project, Provider: p.Provider, Instance: p.Instance, Entity: Backups, ID: p.BackupID}
}

func (p Progress) attributes() own {
	if p.RestoreID != "" {
		return own{}
	}
	attempt := p.Attempt
	return own{attempt: &attempt}
}

func (p Progress) bounded() any { return p }
