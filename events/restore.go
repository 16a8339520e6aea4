package events

// Restore is the complete record of a restore: the `data` of every `restore.*` event (events.md 2.2).
type Restore struct {
	RestoreID     string       `json:"restoreId"`
	BackupID      string       `json:"backupId"` // the backup that is read
	Project       string       `json:"project"`
	Provider      string       `json:"provider"`
	Instance      string       `json:"instance"` // of the backup
	IDs           RestoreIDs   `json:"ids"`
	Door          string       `json:"door"`
	RequestedBy   string       `json:"requestedBy,omitempty"`
	RequestID     string       `json:"requestId"`
	RequestDigest string       `json:"requestDigest,omitempty"`
	EnqueuedTime  Time         `json:"enqueuedTime"`
	Target        Target       `json:"target"`
	ExecutorID    string       `json:"executorId,omitempty"`
	StartTime     Time         `json:"startTime,omitzero"`
	ProviderRef   *ProviderRef `json:"providerRef,omitempty"`
	EndTime       Time         `json:"endTime,omitzero"`
	DurationMs    *int64       `json:"durationMs,omitempty"`
	RestoredBytes *int64       `json:"restoredBytes,omitempty"`
	Error         *Failure     `json:"error,omitempty"`
	Step          Step         `json:"step"`
	State         State        `json:"state"`
	PreviousState State        `json:"previousState,omitempty"`
}

// RestoreIDs are the identifiers that doors show.
type RestoreIDs struct {
	Operation string `json:"operation"`
}

// Target is where a restore writes. It never holds a credential.
type Target struct {
	Instance  string `json:"instance"`            // registered, of the same provider
	Database  string `json:"database,omitempty"`  // absent: the names in the backup
	Overwrite bool   `json:"overwrite,omitempty"` // false: a target that holds data is refused
}

// Aggregate names the restore.
func (r Restore) Aggregate() Aggregate {
	return Aggregate{Project: r.Project, Provider: r.Provider, Instance: r.Instance, Entity: Restores, ID: r.RestoreID}
}

func (r Restore) attributes() own { return own{state: r.State, correlation: r.RequestID} }

func (r Restore) bounded() any { r.Error = r.Error.clip(); return r }
