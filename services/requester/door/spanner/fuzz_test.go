package spanner

import (
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Whatever comes as a filter, it is read and applied, or refused.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"", "state:READY", `(metadata.@type:CreateBackupMetadata) AND (metadata.name:"b")`, "NOT (a OR b)", `create_time < "2026-01-01T00:00:00Z"`, "response.size_bytes>0", "error:*", "done=false name:x",
		`name:"\"`, "metadata.progress.progress_percent >= 7", "error.code=1", "(((", "name:'x' OR NOT done:true"} {
		f.Add(seed)
	}
	meta, err := anypb.New(&databasepb.CreateBackupMetadata{Name: "b", Progress: &databasepb.OperationProgress{ProgressPercent: 7}})
	if err != nil {
		f.Fatal(err)
	}
	broken := &anypb.Any{TypeUrl: "type.googleapis.com/none", Value: []byte{0xff}}
	f.Fuzz(func(_ *testing.T, text string) {
		if e, err := parseFilter(text, operationFields{}); err == nil && e != nil {
			e(shown{&longrunningpb.Operation{Name: "o", Done: true, Metadata: meta}})
			e(shown{&longrunningpb.Operation{Metadata: broken}})
		}
		if e, err := parseFilter(text, backupFields{}); err == nil && e != nil {
			e(shown{&databasepb.Backup{Name: "b", CreateTime: timestamppb.Now(), State: databasepb.Backup_READY}})
		}
	})
}

// Whatever comes as a body or a query, it fills the request or is refused.
func FuzzRequest(f *testing.F) {
	for _, seed := range [][2]string{{"backupId=x", `{"database":"d","expireTime":"2026-01-01T00:00:00Z"}`}, {"encryptionConfig.kmsKeyNames=a&encryptionConfig.kmsKeyNames=b", "{}"},
		{"backup_id=%zz", `[{"a":`}, {"updateMask=a,b", `{"referencingDatabases":["x",null],"encryptionInformation":[{"encryptionStatus":{"details":[{"@type":"x"}]}}]}`}, {"a.b.c=1", "null"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(_ *testing.T, query, body string) {
		r := &databasepb.CreateBackupRequest{}
		if readBody(r, "backup", []byte(body)) == nil {
			_ = readQuery(r, "backup", map[string]string{"parent": "p"}, query)
		}
		u := &databasepb.UpdateBackupRequest{}
		if readBody(u, "backup", []byte(body)) == nil && readQuery(u, "backup", map[string]string{"backup.name": "b"}, query) == nil {
			_ = checkMask(u.GetUpdateMask(), "expire_time")
		}
		_ = readBody(&databasepb.CopyBackupRequest{}, "*", []byte(body))
	})
}
