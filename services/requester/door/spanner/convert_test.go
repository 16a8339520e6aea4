package spanner

import (
	"slices"
	"testing"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"

	"github.com/backupbus/backupbus/events"
)

func TestEncryption_OfTheRecord(t *testing.T) {
	t.Parallel()
	const (
		none     = databasepb.EncryptionInfo_TYPE_UNSPECIFIED
		google   = databasepb.EncryptionInfo_GOOGLE_DEFAULT_ENCRYPTION
		customer = databasepb.EncryptionInfo_CUSTOMER_MANAGED_ENCRYPTION
	)
	to := home{Instance: events.Instance{Config: events.InstanceConfig{EncryptTo: []string{"age1"}}}}
	for what, c := range map[string]struct {
		h    home
		b    events.Backup
		want databasepb.EncryptionInfo_Type
	}{
		"of Spanner":                        {home{}, events.Backup{Provider: "spanner"}, google},
		"asked for":                         {home{}, events.Backup{Provider: "spanner", Encryption: &events.Encryption{Type: providerManaged}}, google},
		"not encrypted":                     {home{}, events.Backup{Provider: "sqlite", Proof: events.ProofChecked, SizeBytes: new(int64), Encryption: &events.Encryption{Type: "NONE"}}, none},
		"being made, to nobody":             {home{}, events.Backup{Provider: "sqlite"}, none},
		"being made, to a recipient":        {to, events.Backup{Provider: "sqlite"}, customer},
		"made before the instance had one":  {to, events.Backup{Provider: "sqlite", Proof: events.ProofChecked, SizeBytes: new(int64)}, none},
		"made when the instance had one":    {home{}, events.Backup{Provider: "sqlite", Proof: events.ProofChecked, SizeBytes: new(int64), Encryption: &events.Encryption{Type: customerManaged, KeyName: "age1"}}, customer},
		"not encrypted, and to one by now ": {to, events.Backup{Provider: "sqlite", Proof: events.ProofChecked, SizeBytes: new(int64), Encryption: &events.Encryption{Type: "NONE"}}, none},
	} {
		if got := c.h.encryption(c.b); len(got) != 1 || got[0].GetEncryptionType() != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestDatabases_OfFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config events.InstanceConfig
		want   []string
	}{{events.InstanceConfig{}, nil}, {events.InstanceConfig{Files: []string{"/d/b.db"}}, []string{"b.db"}}, {events.InstanceConfig{File: "/d/a.db", Files: []string{"/d/b.db"}}, []string{"a.db", "b.db"}}} {
		if got := databasesOf(events.Instance{Provider: "sqlite", Config: c.config}); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v", c.config, got)
		}
	}
}
