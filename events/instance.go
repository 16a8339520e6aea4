package events

// Instance is the record of a registered database server or file (events.md 2.3).
type Instance struct {
	Project       string         `json:"project"`
	InstanceID    string         `json:"instanceId"`
	Provider      string         `json:"provider"`
	Instance      string         `json:"instance"`
	Generation    int            `json:"generation"` // the number in `sequence`
	IDs           InstanceIDs    `json:"ids"`
	RequestedBy   string         `json:"requestedBy,omitempty"`
	CreateTime    Time           `json:"createTime,omitzero"`     // of its registration
	ChangedFields []string       `json:"changedFields,omitempty"` // paths, on updated only
	Config        InstanceConfig `json:"config"`
}

// InstanceIDs are the identifiers that doors show.
type InstanceIDs struct {
	GaussDB string `json:"gaussdb"`
}

// InstanceConfig says how an instance is reached and backed up, never how to authenticate (design.md 5).
type InstanceConfig struct {
	Engine         string            `json:"engine,omitempty"`
	EngineVersion  string            `json:"engineVersion,omitempty"`
	Region         string            `json:"region,omitempty"`
	File           string            `json:"file,omitempty"`    // sqlite: absolute path of the database
	Files          []string          `json:"files,omitempty"`   // sqlite: further databases of the instance
	Address        string            `json:"address,omitempty"` // mysql, postgres: host:port, or the absolute path of a socket
	User           string            `json:"user,omitempty"`
	DataDir        string            `json:"dataDir,omitempty"` // mysql, postgres: where physical copies are restored to, an absolute path
	TLS            *InstanceTLS      `json:"tls,omitempty"`
	Method         Method            `json:"method,omitempty"`
	Storage        string            `json:"storage,omitempty"`       // name of a storage of the executors
	CopyTo         []string          `json:"copyTo,omitempty"`        // names of further storages, which get the same objects
	EncryptTo      []string          `json:"encryptTo,omitempty"`     // age recipients (public keys)
	Databases      []string          `json:"databases,omitempty"`     // absent: all but the server's own
	CredentialRef  string            `json:"credentialRef,omitempty"` // a name: env:NAME or file:/path
	Hooks          *InstanceHooks    `json:"hooks,omitempty"`
	SuccessfulWhen Proof             `json:"successfulWhen,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`

	CloudSQL *CloudSQLInstance `json:"cloudsql,omitempty"` // what the Cloud SQL door shows, and holds to
}

// CloudSQLInstance are facts of an instance in Cloud SQL's words (cloudsql.md 8).
type CloudSQLInstance struct {
	InstanceType string `json:"instanceType,omitempty"` // absent: CLOUD_SQL_INSTANCE
	State        string `json:"state,omitempty"`        // absent: RUNNABLE
}

// InstanceTLS says how the connection to a server is protected.
type InstanceTLS struct {
	Mode   TLSMode `json:"mode"`
	CAFile string  `json:"caFile,omitempty"` // where the executor runs; absent: the system's
}

// TLSMode is a level of protection. Absent: VERIFY_FULL, except over a socket or to the loopback, where it
// is DISABLE.
type TLSMode string

// The modes, from the weakest.
const (
	TLSDisable    TLSMode = "DISABLE"
	TLSRequire    TLSMode = "REQUIRE"     // encrypted, to whomever
	TLSVerifyFull TLSMode = "VERIFY_FULL" // to a server whose certificate names the host
)

// Method is how a server is backed up.
type Method string

// The methods of self-hosted servers.
const (
	MethodLogical  Method = "LOGICAL"  // statements, by the server's dump program; the default
	MethodPhysical Method = "PHYSICAL" // the server's files, whole
)

// InstanceHooks name what runs around a backup. What a name means is in the executor's settings.
type InstanceHooks struct {
	Pre  string `json:"pre,omitempty"`
	Post string `json:"post,omitempty"`
}

// Aggregate names the instance.
func (i Instance) Aggregate() Aggregate {
	return Aggregate{Project: i.Project, Provider: i.Provider, Instance: i.Instance, Entity: Instances, ID: i.InstanceID}
}

func (i Instance) attributes() own { return own{} }

func (i Instance) bounded() any { return i }
