package compat

import (
	"errors"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	database "cloud.google.com/go/spanner/admin/database/apiv1"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	spannerInstance = "projects/acme/instances/orders"
	spannerDatabase = spannerInstance + "/databases/orders.db"
)

// Google's Go client by environment variable alone (case 50): not in parallel, as the variable is the process's.
func TestSpanner_GoClientByEnvironment(t *testing.T) {
	server := startUp(t)
	register(t, server, "orders")
	t.Setenv("SPANNER_EMULATOR_HOST", strings.TrimPrefix(server, "http://"))
	c, err := database.NewDatabaseAdminClient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	useSpanner(t, c)
}

func TestSpanner_GoClientOverGRPC(t *testing.T) {
	t.Parallel()
	server := startUp(t)
	register(t, server, "orders")
	c, err := database.NewDatabaseAdminClient(t.Context(), option.WithEndpoint(strings.TrimPrefix(server, "http://")), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	useSpanner(t, c)
}

func TestSpanner_GoClientOverREST(t *testing.T) {
	t.Parallel()
	server := startUp(t)
	register(t, server, "orders")
	c, err := database.NewDatabaseAdminRESTClient(t.Context(), option.WithEndpoint(server), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	useSpanner(t, c)
}

// codeOf is the code of an error over either protocol.
func codeOf(err error) codes.Code {
	var over *googleapi.Error
	if errors.As(err, &over) {
		return map[int]codes.Code{400: codes.InvalidArgument, 404: codes.NotFound, 409: codes.AlreadyExists, 501: codes.Unimplemented}[over.Code]
	}
	return status.Code(err)
}

// useSpanner does what users of the client do: a backup of a real file is made, waited for, found, changed and deleted.
func useSpanner(t *testing.T, c *database.DatabaseAdminClient) {
	t.Helper()
	ctx := t.Context()
	create := func(id string, expire time.Duration) (*database.CreateBackupOperation, error) {
		return c.CreateBackup(ctx, &databasepb.CreateBackupRequest{Parent: spannerInstance, BackupId: id,
			Backup: &databasepb.Backup{Database: spannerDatabase, ExpireTime: timestamppb.New(time.Now().Add(expire))}})
	}
	op, err := create("first", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := op.Metadata(); err != nil || m.GetName() != spannerInstance+"/backups/first" || m.GetDatabase() != spannerDatabase {
		t.Errorf("metadata %v, %v", m, err)
	}
	made, err := op.Wait(ctx)
	if err != nil || made.GetState() != databasepb.Backup_READY || made.GetSizeBytes() == 0 {
		t.Fatalf("%v, %v", made, err)
	}
	got, err := c.GetBackup(ctx, &databasepb.GetBackupRequest{Name: made.GetName()})
	if err != nil || !proto.Equal(got, made) {
		t.Errorf("get %v\nmade %v, %v", got, made, err)
	}
	if _, err := create("first", 24*time.Hour); codeOf(err) != codes.AlreadyExists {
		t.Errorf("the same id: %v", err)
	}
	if _, err := create("second", time.Hour); codeOf(err) != codes.InvalidArgument {
		t.Errorf("an expiry of an hour: %v", err)
	}
	if op, err = create("second", 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := op.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	var names []string
	for it := c.ListBackups(ctx, &databasepb.ListBackupsRequest{Parent: spannerInstance, PageSize: 1, Filter: "state:READY"}); ; {
		b, err := it.Next()
		if err == iterator.Done { //nolint:errorlint // as the client's users write it
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, b.GetName())
	}
	if len(names) != 2 || names[0] != spannerInstance+"/backups/second" {
		t.Errorf("listed %v", names)
	}
	to := timestamppb.New(time.Now().Add(48 * time.Hour).Truncate(time.Microsecond))
	got, err = c.UpdateBackup(ctx, &databasepb.UpdateBackupRequest{Backup: &databasepb.Backup{Name: made.GetName(), ExpireTime: to}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"expire_time"}}})
	if err != nil || !proto.Equal(got.GetExpireTime(), to) {
		t.Errorf("update %v, %v", got, err)
	}
	if err := c.CancelOperation(ctx, &longrunningpb.CancelOperationRequest{Name: op.Name()}); err != nil {
		t.Errorf("cancel of what has ended: %v", err)
	}
	one, err := c.ListBackupOperations(ctx, &databasepb.ListBackupOperationsRequest{Parent: spannerInstance,
		Filter: "(metadata.@type:type.googleapis.com/google.spanner.admin.database.v1.CreateBackupMetadata) AND (metadata.name:" + made.GetName() + ")"}).Next()
	if err != nil || !one.GetDone() {
		t.Errorf("operations %v, %v", one, err)
	}
	s, err := c.CreateBackupSchedule(ctx, &databasepb.CreateBackupScheduleRequest{Parent: spannerDatabase, BackupScheduleId: "nightly", BackupSchedule: &databasepb.BackupSchedule{
		Spec:           &databasepb.BackupScheduleSpec{ScheduleSpec: &databasepb.BackupScheduleSpec_CronSpec{CronSpec: &databasepb.CrontabSpec{Text: "30 12 * * *"}}},
		BackupTypeSpec: &databasepb.BackupSchedule_FullBackupSpec{FullBackupSpec: &databasepb.FullBackupSpec{}}, RetentionDuration: durationOf(24 * time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	s.RetentionDuration = durationOf(48 * time.Hour)
	if s, err = c.UpdateBackupSchedule(ctx, &databasepb.UpdateBackupScheduleRequest{BackupSchedule: s, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"retention_duration"}}}); err != nil || s.GetRetentionDuration().AsDuration() != 48*time.Hour {
		t.Errorf("update of the schedule: %v, %v", s, err)
	}
	if err := c.DeleteBackupSchedule(ctx, &databasepb.DeleteBackupScheduleRequest{Name: s.GetName()}); err != nil {
		t.Error(err)
	}
	copying, err := c.CopyBackup(ctx, &databasepb.CopyBackupRequest{Parent: spannerInstance, BackupId: "copied", SourceBackup: made.GetName(), ExpireTime: timestamppb.New(time.Now().Add(24 * time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	if copied, err := copying.Wait(ctx); err != nil || copied.GetSizeBytes() != made.GetSizeBytes() {
		t.Errorf("copy %v, %v", copied, err)
	}
	for range 2 { // one that is not there is deleted
		if err := c.DeleteBackup(ctx, &databasepb.DeleteBackupRequest{Name: made.GetName()}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.GetBackup(ctx, &databasepb.GetBackupRequest{Name: made.GetName()}); codeOf(err) != codes.NotFound {
		t.Errorf("get of a deleted one: %v", err)
	}
	if _, err := c.GetDatabase(ctx, &databasepb.GetDatabaseRequest{Name: spannerDatabase}); codeOf(err) != codes.Unimplemented {
		t.Errorf("a method that is not there: %v", err)
	}
}
