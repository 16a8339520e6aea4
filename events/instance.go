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
	Storage        string            `json:"storage,omitempty"` // name of a storage of the executors
	Databases      []string          `json:"databases,omitempty"`
	CredentialRef  string            `json:"credentialRef,omitempty"` // a name: env:NAME or file:/path
	SuccessfulWhen Proof             `json:"successfulWhen,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
}

// Aggregate names the instance.
func (i Instance) Aggregate() Aggregate {
	return Aggregate{Project: i.Project, Provider: i.Provider, Instance: i.Instance, Entity: Instances, ID: i.InstanceID}
}

func (i Instance) attributes() own { return own{} }

func (i Instance) bounded() any { return i }
