package cloudsql

// The wire types of cloudsql.md 4, 6 and 8: int64 as string, times as text, absent when not known. They
// stay in this package.

type backupRun struct {
	Kind            string          `json:"kind"` // sql#backupRun
	Status          string          `json:"status"`
	EnqueuedTime    string          `json:"enqueuedTime,omitempty"`
	ID              string          `json:"id"`
	StartTime       string          `json:"startTime,omitempty"`
	EndTime         string          `json:"endTime,omitempty"`
	Error           *operationError `json:"error,omitempty"` // only with FAILED
	Type            string          `json:"type"`
	Description     string          `json:"description,omitempty"`
	WindowStartTime string          `json:"windowStartTime,omitempty"`
	Instance        string          `json:"instance"`
	SelfLink        string          `json:"selfLink"`
	Location        string          `json:"location,omitempty"`
	DatabaseVersion string          `json:"databaseVersion,omitempty"`
	BackupKind      string          `json:"backupKind,omitempty"`

	DiskEncryptionConfiguration *diskEncryptionConfiguration `json:"diskEncryptionConfiguration,omitempty"`
	DiskEncryptionStatus        *diskEncryptionStatus        `json:"diskEncryptionStatus,omitempty"`
}

type diskEncryptionConfiguration struct {
	Kind       string `json:"kind"` // sql#diskEncryptionConfiguration
	KmsKeyName string `json:"kmsKeyName"`
}

type diskEncryptionStatus struct {
	Kind              string `json:"kind"` // sql#diskEncryptionStatus
	KmsKeyVersionName string `json:"kmsKeyVersionName"`
}

// backupResource is a Backup of the newer resource (cloudsql.md 9).
type backupResource struct {
	Name            string          `json:"name"`
	Kind            string          `json:"kind"` // sql#backup
	SelfLink        string          `json:"selfLink"`
	Type            string          `json:"type"`
	Description     string          `json:"description,omitempty"`
	Instance        string          `json:"instance"`
	Location        string          `json:"location,omitempty"`
	BackupInterval  interval        `json:"backupInterval,omitzero"`
	State           string          `json:"state"`
	Error           *operationError `json:"error,omitempty"`
	KmsKey          string          `json:"kmsKey,omitempty"`
	KmsKeyVersion   string          `json:"kmsKeyVersion,omitempty"`
	BackupKind      string          `json:"backupKind,omitempty"`
	ExpiryTime      string          `json:"expiryTime,omitempty"`
	DatabaseVersion string          `json:"databaseVersion,omitempty"`
	BackupRun       string          `json:"backupRun"`
}

type interval struct {
	StartTime string `json:"startTime,omitempty"`
	EndTime   string `json:"endTime,omitempty"`
}

type listBackupsResponse struct { // has no kind
	Backups       []backupResource `json:"backups,omitempty"`
	NextPageToken string           `json:"nextPageToken,omitempty"`
}

type backupRunsList struct {
	Kind          string      `json:"kind"` // sql#backupRunsList
	Items         []backupRun `json:"items,omitempty"`
	NextPageToken string      `json:"nextPageToken,omitempty"`
}

type operation struct {
	Kind          string           `json:"kind"` // sql#operation
	TargetLink    string           `json:"targetLink,omitempty"`
	Status        string           `json:"status"`
	User          string           `json:"user,omitempty"`
	InsertTime    string           `json:"insertTime"`
	StartTime     string           `json:"startTime,omitempty"`
	EndTime       string           `json:"endTime,omitempty"`
	Error         *operationErrors `json:"error,omitempty"` // only with DONE
	OperationType string           `json:"operationType"`
	Name          string           `json:"name"`
	TargetID      string           `json:"targetId"`
	SelfLink      string           `json:"selfLink"`
	TargetProject string           `json:"targetProject"`
	BackupContext *backupContext   `json:"backupContext,omitempty"`
}

type backupContext struct {
	Kind     string `json:"kind"` // sql#backupContext
	BackupID string `json:"backupId"`
	Name     string `json:"name"`
}

type operationErrors struct {
	Kind   string           `json:"kind"` // sql#operationErrors
	Errors []operationError `json:"errors"`
}

type operationError struct {
	Kind    string `json:"kind"` // sql#operationError
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
}

type operationsList struct {
	Kind          string      `json:"kind"` // sql#operationsList
	Items         []operation `json:"items,omitempty"`
	NextPageToken string      `json:"nextPageToken,omitempty"`
}

type databaseInstance struct {
	Kind            string   `json:"kind"` // sql#instance
	Name            string   `json:"name"`
	Project         string   `json:"project"`
	Region          string   `json:"region,omitempty"`
	State           string   `json:"state"`
	DatabaseVersion string   `json:"databaseVersion,omitempty"`
	InstanceType    string   `json:"instanceType"`
	BackendType     string   `json:"backendType"`
	ConnectionName  string   `json:"connectionName"`
	SelfLink        string   `json:"selfLink"`
	CreateTime      string   `json:"createTime,omitempty"`
	Etag            string   `json:"etag"`
	Settings        settings `json:"settings"`
}

type settings struct {
	Kind                string              `json:"kind"` // sql#settings
	SettingsVersion     string              `json:"settingsVersion"`
	Tier                string              `json:"tier,omitempty"`
	Edition             string              `json:"edition"`
	ActivationPolicy    string              `json:"activationPolicy"`
	BackupConfiguration backupConfiguration `json:"backupConfiguration"`

	RetainBackupsOnDelete bool               `json:"retainBackupsOnDelete"`
	FinalBackupConfig     *finalBackupConfig `json:"finalBackupConfig,omitempty"` // absent: never set
}

type finalBackupConfig struct {
	Enabled       bool `json:"enabled"`
	RetentionDays int  `json:"retentionDays,omitempty"`
}

type backupConfiguration struct {
	Kind                         string            `json:"kind"` // sql#backupConfiguration
	Enabled                      bool              `json:"enabled"`
	StartTime                    string            `json:"startTime,omitempty"`
	Location                     string            `json:"location,omitempty"`
	Retention                    retentionSettings `json:"backupRetentionSettings"`
	TransactionLogRetentionDays  int               `json:"transactionLogRetentionDays"`
	TransactionalLogStorageState string            `json:"transactionalLogStorageState"`
	BinaryLogEnabled             bool              `json:"binaryLogEnabled"`
	PointInTimeRecoveryEnabled   bool              `json:"pointInTimeRecoveryEnabled"`
	BackupTier                   string            `json:"backupTier"`

	ReplicationLogArchivingEnabled bool `json:"replicationLogArchivingEnabled,omitempty"` // deprecated
}

type retentionSettings struct {
	RetentionUnit   string `json:"retentionUnit"` // COUNT
	RetainedBackups int    `json:"retainedBackups"`
}

type instancesList struct {
	Kind          string             `json:"kind"` // sql#instancesList
	Items         []databaseInstance `json:"items,omitempty"`
	NextPageToken string             `json:"nextPageToken,omitempty"`
}
