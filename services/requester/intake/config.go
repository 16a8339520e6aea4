package intake

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/backupbus/backupbus/events"
)

var (
	storageForm    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	hookForm       = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)
	recipientForm  = regexp.MustCompile(`^age1[02-9ac-hj-np-z]{58}$`)
	credentialForm = regexp.MustCompile(`^(env:[A-Za-z_][A-Za-z0-9_]*|file:/[^\n]+)$`)
)

const (
	maxDatabases  = 200 // events.md 2.3
	maxFiles      = 200
	maxRecipients = 20
	maxCopies     = 4
	maxPath       = 1024
)

var (
	cloudSQLTypes  = []string{"", "CLOUD_SQL_INSTANCE", "ON_PREMISES_INSTANCE", "READ_REPLICA_INSTANCE", "READ_POOL_INSTANCE", "GREEN_INSTANCE"}
	cloudSQLStates = []string{"", "RUNNABLE", "SUSPENDED", "PENDING_DELETE", "PENDING_CREATE", "MAINTENANCE", "FAILED", "ONLINE_MAINTENANCE", "REPAIRING"}

	proofs   = []events.Proof{"", events.ProofStored, events.ProofChecked, events.ProofRestored}
	tlsModes = []events.TLSMode{events.TLSDisable, events.TLSRequire, events.TLSVerifyFull}
	howTaken = []events.Method{"", events.MethodLogical, events.MethodPhysical}
)

// config checks what can be checked without the database: the rest is the executor's to find.
func config(provider string, c events.InstanceConfig) error {
	for _, check := range []func() error{
		func() error { return texts(c) },
		func() error { return choices(c) },
		func() error { return reach(provider, c) },
		func() error { return paths(c) },
		func() error { return labels(c.Labels) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	for n, d := range c.Databases {
		if _, err := name(fmt.Sprintf("config.databases[%d]", n), d); err != nil {
			return err
		}
	}
	return nil
}

func texts(c events.InstanceConfig) error {
	for _, f := range []struct {
		what, s string
		max     int
	}{
		{"engine", c.Engine, 64}, {"engineVersion", c.EngineVersion, 64}, {"region", c.Region, 64},
		{"address", c.Address, 300}, {"user", c.User, 128}, {"credentialRef", c.CredentialRef, 512},
	} {
		if err := text("config."+f.what, f.s, f.max); err != nil {
			return err
		}
		if strings.ContainsFunc(f.s, unicode.IsControl) {
			return refuse(Invalid, SchemaViolation, "config.%s contains a control character", f.what)
		}
	}
	return nil
}

func choices(c events.InstanceConfig) error {
	switch {
	case !slices.Contains(proofs, c.SuccessfulWhen):
		return refuse(Invalid, SchemaViolation, "config.successfulWhen %q is none of STORED, CHECKED, RESTORED", events.Clip(string(c.SuccessfulWhen), 40))
	case !slices.Contains(howTaken, c.Method):
		return refuse(Invalid, SchemaViolation, "config.method %q is none of LOGICAL, PHYSICAL", events.Clip(string(c.Method), 40))
	case c.TLS != nil && !slices.Contains(tlsModes, c.TLS.Mode):
		return refuse(Invalid, SchemaViolation, "config.tls.mode %q is none of DISABLE, REQUIRE, VERIFY_FULL", events.Clip(string(c.TLS.Mode), 40))
	case c.Storage != "" && !storageForm.MatchString(c.Storage):
		return refuse(Invalid, SchemaViolation, "config.storage is the name of a storage of the executors and matches %s", storageForm)
	case c.CredentialRef != "" && !credentialForm.MatchString(c.CredentialRef):
		return refuse(Invalid, SchemaViolation, "config.credentialRef names a credential as env:NAME or file:/path; the credential itself must never be sent here")
	case len(c.Databases) > maxDatabases:
		return refuse(Invalid, SchemaViolation, "config.databases has more than %d entries", maxDatabases)
	case len(c.EncryptTo) > maxRecipients:
		return refuse(Invalid, SchemaViolation, "config.encryptTo has more than %d entries", maxRecipients)
	}
	if f := c.CloudSQL; f != nil && (!slices.Contains(cloudSQLTypes, f.InstanceType) || !slices.Contains(cloudSQLStates, f.State)) {
		return refuse(Invalid, SchemaViolation, "config.cloudsql: instanceType and state have the words of Cloud SQL's SqlInstanceType and SqlInstanceState")
	}
	if err := copies(c); err != nil {
		return err
	}
	for i, r := range c.EncryptTo {
		if !recipientForm.MatchString(r) { // it is not repeated: it may be a secret key by mistake
			return refuse(Invalid, SchemaViolation, "config.encryptTo[%d] is no age recipient: it is the public key, age1…, that age-keygen -y prints", i)
		}
	}
	if c.Hooks != nil {
		for what, h := range map[string]string{"pre": c.Hooks.Pre, "post": c.Hooks.Post} {
			if h != "" && !hookForm.MatchString(h) {
				return refuse(Invalid, SchemaViolation, "config.hooks.%s is the name of a hook in the executors' settings and matches %s", what, hookForm)
			}
		}
	}
	return nil
}

// copies checks the storages beside the first.
func copies(c events.InstanceConfig) error {
	if len(c.CopyTo) > maxCopies {
		return refuse(Invalid, SchemaViolation, "config.copyTo has more than %d entries", maxCopies)
	}
	for i, s := range c.CopyTo {
		switch {
		case !storageForm.MatchString(s):
			return refuse(Invalid, SchemaViolation, "config.copyTo[%d] is the name of a storage of the executors and matches %s", i, storageForm)
		case s == c.Storage || slices.Contains(c.CopyTo[:i], s):
			return refuse(Invalid, SchemaViolation, "config.copyTo[%d]: %s is named before: a second copy there would be no copy", i, s)
		}
	}
	return nil
}

// reach checks that an instance says where its database is, in the words of its provider.
func reach(provider string, c events.InstanceConfig) error {
	server := c.Address != "" || c.User != "" || c.TLS != nil || c.DataDir != "" || c.Method != ""
	file := c.File != "" || len(c.Files) > 0
	switch provider {
	case "sqlite":
		if server {
			return refuse(Invalid, SchemaViolation, "config.address, user, tls, method and dataDir are for servers: an SQLite instance has config.file")
		}
		if !filepath.IsAbs(c.File) {
			return refuse(Invalid, SchemaViolation, "config.file must be the absolute path of the SQLite database")
		}
	case "mysql", "postgres":
		if file {
			return refuse(Invalid, SchemaViolation, "config.file and files are for provider sqlite only")
		}
		if !address(c.Address) {
			return refuse(Invalid, SchemaViolation, "config.address is host:port, or the absolute path of the server's socket")
		}
		if c.User == "" {
			return refuse(Invalid, SchemaViolation, "config.user is missing: name the account that backs up; its password is named by config.credentialRef")
		}
	default:
		if server || file {
			return refuse(Invalid, SchemaViolation, "config.file and config.address are for self-hosted databases")
		}
	}
	return nil
}

func address(a string) bool {
	if strings.HasPrefix(a, "/") {
		return filepath.IsAbs(a) && filepath.Clean(a) == a
	}
	host, port, err := net.SplitHostPort(a)
	if err != nil || host == "" || strings.ContainsAny(host, "/@?# ") {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func paths(c events.InstanceConfig) error {
	if len(c.Files) > maxFiles {
		return refuse(Invalid, SchemaViolation, "config.files has more than %d entries", maxFiles)
	}
	check := map[string]string{"config.file": c.File, "config.dataDir": c.DataDir}
	if c.TLS != nil {
		check["config.tls.caFile"] = c.TLS.CAFile
	}
	seen := map[string]bool{filepath.Base(c.File): true}
	for i, f := range c.Files {
		what := fmt.Sprintf("config.files[%d]", i)
		if f == "" {
			return refuse(Invalid, SchemaViolation, "%s is empty", what)
		}
		if seen[filepath.Base(f)] {
			return refuse(Invalid, SchemaViolation, "%s has the same file name as another one: databases of an instance are told apart by it", what)
		}
		seen[filepath.Base(f)] = true
		check[what] = f
	}
	for what, path := range check {
		if err := text(what, path, maxPath); err != nil {
			return err
		}
		if path != "" && (!filepath.IsAbs(path) || filepath.Clean(path) != path) {
			return refuse(Invalid, SchemaViolation, "%s must be a plain absolute path: no . or .. and no slash at the end", what)
		}
		if strings.ContainsFunc(path, unicode.IsControl) {
			return refuse(Invalid, SchemaViolation, "%s contains a control character", what)
		}
	}
	return nil
}
