package spanner

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

func TestErrors_OfIntake(t *testing.T) { // (b) 54
	t.Parallel()
	for _, c := range []struct {
		err  error
		code codes.Code
	}{
		{&intake.Error{Kind: intake.Invalid, Message: "m"}, codes.InvalidArgument}, {&intake.Error{Kind: intake.NotFound, Message: "m"}, codes.NotFound},
		{&intake.Error{Kind: intake.Conflict, Reason: intake.Held, Message: "m"}, codes.FailedPrecondition}, {&intake.Error{Kind: intake.Unavailable, Message: "m"}, codes.Unavailable},
		{&intake.Error{Kind: intake.Internal, Message: "secret"}, codes.Internal}, {errBroken{}, codes.Internal},
	} {
		st := status.Convert(about{}.of(c.err))
		if st.Code() != c.code || st.Message() == "secret" {
			t.Errorf("%v: %v", c.err, st)
		}
	}
	st := status.Convert(about{}.of(&intake.Error{Kind: intake.Exhausted, Message: "m"}))
	info, ok := st.Details()[0].(*errdetails.ErrorInfo)
	if st.Code() != codes.ResourceExhausted || !ok || info.GetMetadata()["quota_limit"] != "AdminMethodQuotaPerMinutePerProject" {
		t.Errorf("%v", st)
	}
	if md := trailersOf(st); len(md.Get("google.rpc.errorinfo-bin")) != 1 {
		t.Errorf("trailers %v", md)
	}
}

type errBroken struct{}

func (errBroken) Error() string { return "secret" }

func TestErrors_OfWork(t *testing.T) { // (b) 58
	t.Parallel()
	for code, want := range map[events.Code]codes.Code{events.ProviderRejected: codes.FailedPrecondition, events.NotFound: codes.NotFound, events.Internal: codes.Internal,
		events.StorageFull: codes.ResourceExhausted, events.Network: codes.Unavailable, events.Corrupt: codes.DataLoss, "SOMETHING_NEW": codes.Internal} {
		if st := failureStatus(&events.Failure{Code: code, Message: "m"}); st.Code() != want {
			t.Errorf("%s: %s, want %s", code, st.Code(), want)
		}
	}
}

// Every path goes to one door alone.
func TestOwns(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/v1/projects/p/instances/i/backups": true, "/v1/projects/p/instances/i/backups:copy": true, "/v1/projects/p/instances/i/backups/b/operations/o:cancel": true,
		"/v1/projects/p/instances/i/backupOperations": true, "/v1/projects/p/instances/i/databases:restore": true, "/v1/projects/p/instances/i/databases/d/backupSchedules": true,
		"/v1/projects/p/instances/i/operations/o": true, "/v1/projects/p/instanceConfigs/c/operations": true, "/v1/projects/example.com:p/instances/i/backups": true,
		"/v1/projects/p/instances/i/backupRuns": false, "/v1/projects/p/instances/i": false, "/v1/projects/p/operations/o": false, "/v1/projects/p/backups/b": false,
		"/v1/projects/p/instances": false, "/sql/v1beta4/projects/p/instances/i/backups": false, "/api/v1/projects/p/instances/i/backups/x": false, "/v1/": false,
	} {
		if got := Owns(path); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}
