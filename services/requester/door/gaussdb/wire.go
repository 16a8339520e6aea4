package gaussdb

// The wire types of gaussdb.md 4, with the JSON types that clients insist on (2.4). They stay in this package.

type createdBackup struct {
	Backup backupHead `json:"backup"`
	JobID  string     `json:"job_id"`
}

type backupHead struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	BeginTime   string `json:"begin_time"`
	Status      string `json:"status"`
	Type        string `json:"type"`
	InstanceID  string `json:"instance_id"`
}

type backupList struct {
	Backups    []backup `json:"backups"` // never null
	TotalCount int      `json:"total_count"`
}

type backup struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	BeginTime    string    `json:"begin_time"`
	EndTime      string    `json:"end_time,omitempty"`
	TakeUpTime   int64     `json:"take_up_time"` // minutes
	Status       string    `json:"status"`
	Type         string    `json:"type"`
	Size         int64     `json:"size"` // MB
	Datastore    datastore `json:"datastore"`
	InstanceID   string    `json:"instance_id"`
	InstanceName string    `json:"instance_name"`
	BackupLevel  string    `json:"backup_level,omitempty"` // only with level-1
	Description  string    `json:"description,omitempty"`
}

type datastore struct {
	Type    string `json:"type"`
	Version string `json:"version"`
}

type deletedBackup struct {
	ID   string `json:"backup_id"`
	Name string `json:"backup_name"`
}

type deletedBackups struct {
	Failed       []failedDeletion `json:"failed_results"`
	SuccessCount int              `json:"success_count"`
	FailedCount  int              `json:"failed_count"`
}

type failedDeletion struct {
	ID      string `json:"backup_id"`
	Code    string `json:"error_code"`
	Message string `json:"error_msg"`
}

type shownPolicy struct {
	Policy policyBody `json:"backup_policy"`
}

type policyBody struct {
	KeepDays  int    `json:"keep_days"`
	StartTime string `json:"start_time"`
	Period    string `json:"period"`
	Level1    *int   `json:"retention_num_backup_level1,omitempty"` // only with level-1
}

type updatedPolicy struct {
	Status       string `json:"status"`
	InstanceID   string `json:"instance_id"`
	InstanceName string `json:"instance_name"`
}

type restoreTimes struct {
	Times []restoreTime `json:"restore_times"`
}

type restoreTime struct {
	Start int64 `json:"start_time"` // Unix milliseconds
	End   int64 `json:"end_time"`
}

type shownJob struct {
	Job job `json:"job"`
}

type job struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Status     string      `json:"status"`
	Created    string      `json:"created"`
	Ended      string      `json:"ended"`
	Process    string      `json:"process"`
	Instance   jobInstance `json:"instance"`
	Entities   struct{}    `json:"entities"`
	FailReason string      `json:"fail_reason"`
}

type jobInstance struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type shownInstance struct {
	Instance instance `json:"instance"`
}

type instance struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Status    string         `json:"status"`
	ProjectID string         `json:"project_id"`
	Type      string         `json:"type"`
	Port      string         `json:"port"`
	NodeCount int            `json:"node_count"`
	Datastore datastore      `json:"datastore"`
	Strategy  backupStrategy `json:"backup_strategy"`
	Created   string         `json:"created"`
	Updated   string         `json:"updated"`
	Nodes     []struct{}     `json:"nodes"`
}

type backupStrategy struct {
	StartTime string `json:"start_time"`
	KeepDays  string `json:"keep_days"` // a string here
}

type fullList struct {
	Backups    []fullBackup `json:"backups"`
	TotalCount string       `json:"total_count"`
}

type fullBackup struct {
	ID           string `json:"id"`
	Description  string `json:"description"`
	InstanceID   string `json:"instance_id"`
	InstanceName string `json:"instance_name"`
	Name         string `json:"name"`
	Size         string `json:"size"` // KB
	SizeUnit     string `json:"size_unit"`
	Status       string `json:"status"`
	Created      string `json:"created"`
	Updated      string `json:"updated"`
	BackupType   string `json:"backup_type"`
	BackupLevel  string `json:"backup_level"`
	BackupMethod string `json:"backup_method"`
	UseDetail    string `json:"use_detail"`
	TimeZone     string `json:"time_zone"`
}

type incrementalList struct {
	Backups    []struct{} `json:"backups"`
	TotalCount int        `json:"total_count"`
}

type projectList struct {
	Links    selfLink  `json:"links"`
	Projects []project `json:"projects"` // a client panics without it
}

type selfLink struct {
	Self string `json:"self,omitempty"`
}

type project struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	DomainID    string   `json:"domain_id"`
	Enabled     bool     `json:"enabled"`
	IsDomain    bool     `json:"is_domain"`
	ParentID    string   `json:"parent_id"`
	Description string   `json:"description"`
	Links       selfLink `json:"links"`
}
