package events

// Phases of a running backup (open set).
const (
	Preparing  = "PREPARING"
	Copying    = "COPYING"
	Uploading  = "UPLOADING"
	Finalizing = "FINALIZING"
)

// Progress is the `data` of `backup.progress`: droppable, last value only (events.md 2.2).
type Progress struct {
	BackupID    string       `json:"backupId"`
	Project     string       `json:"project"`
	Provider    string       `json:"provider"`
	Instance    string       `json:"instance"`
	Attempt     int          `json:"attempt"`
	Ordinal     int          `json:"ordinal"` // from 1 within the attempt
	Phase       string       `json:"phase"`
	Percent     *int         `json:"percent,omitempty"` // 0 to 100
	BytesDone   *int64       `json:"bytesDone,omitempty"`
	BytesTotal  *int64       `json:"bytesTotal,omitempty"`
	ProviderRef *ProviderRef `json:"providerRef,omitempty"`
}

// Aggregate names the backup.
func (p Progress) Aggregate() Aggregate {
	return Aggregate{Project: p.Project, Provider: p.Provider, Instance: p.Instance, Entity: Backups, ID: p.BackupID}
}

func (p Progress) attributes() own { attempt := p.Attempt; return own{attempt: &attempt} }

func (p Progress) bounded() any { return p }
