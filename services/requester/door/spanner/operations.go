package spanner

import (
	"context"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/requester/intake"
)

const (
	keepOperations = 7 * 24 * time.Hour // after their end (spanner.md 4.6)
	cancelWithin   = 8 * time.Second    // from the beginning of a call: well under the 10 s of Google's Go client (spanner.md 4.8)
	waitAtMost     = 8 * time.Second    // a stop of the server waits for whoever waits here
)

// operationOwner is what an operation belongs to, and its id: projects/p/instances/i/backups/b, _auto_op_….
func operationOwner(name string) (owner, id string, ok bool) {
	for _, f := range operationFamilies {
		if p, match := parts(f+"/*", name); match {
			id = p[len(p)-1]
			return strings.TrimSuffix(name, operationsEnd+"/"+id), id, true
		}
	}
	return "", "", false
}

// work is what an operation is computed from: one of the two.
type work struct {
	home
	backup  *events.Backup
	restore *events.Restore
}

// work finds an operation by its name, for a caller who may do that with it. One that ended long ago is no longer there.
func (d *Door) work(ctx context.Context, verb, name string) (work, error) {
	owner, id, ok := operationOwner(name)
	if !ok {
		return work{}, invalid("Invalid operation uri: %s", shorten(name))
	}
	project, ok := parts("projects/*", strings.Join(strings.SplitN(owner, "/", 3)[:2], "/"))
	if !ok || !autoForm.MatchString(id) {
		return work{}, noOperation(name)
	}
	if err := mayOperate(ctx, verb, owner, name); err != nil {
		return work{}, err
	}
	op, err := d.intake.ShortOperation(ctx, project[0], strings.TrimPrefix(id, "_auto_op_"))
	if intake.KindOf(err) == intake.NotFound {
		err = noOperation(name)
	}
	if err != nil {
		return work{}, about{}.of(err)
	}
	w, err := d.workOf(ctx, op)
	if err != nil {
		return w, err
	}
	if w.owner() != owner || d.forgotten(op) {
		return w, noOperation(name)
	}
	return w, nil
}

func (d *Door) workOf(ctx context.Context, op lifecycle.Operation) (w work, err error) {
	if op.Kind == lifecycle.Creation {
		b, err := d.intake.Backup(ctx, op.Project, op.Backup)
		if err != nil {
			return w, about{}.of(err)
		}
		w.backup = &b
	} else {
		r, err := d.intake.RestoreByID(ctx, op.Project, op.Aggregate)
		if err != nil {
			return w, about{}.of(err)
		}
		w.restore = &r
	}
	in := instanceName{op.Project, op.Instance}
	if w.home, err = d.home(ctx, in); intake.KindOf(err) == intake.NotFound {
		err = notFound("Instance", instanceType, in.String())
	}
	return w, err
}

func (w work) owner() string {
	if w.backup != nil {
		return backupName(*w.backup)
	}
	return instanceName{w.restore.Project, w.restore.Target.Instance}.database(lifecycle.TargetDatabase(*w.restore))
}

func (d *Door) forgotten(op lifecycle.Operation) bool {
	return op.Done && d.now().Sub(op.EndTime.Time) > keepOperations
}

func (d *Door) show(ctx context.Context, w work) (*longrunningpb.Operation, error) {
	if w.backup != nil {
		return d.creation(ctx, w.home, *w.backup)
	}
	told, err := d.percentsOfRestores(ctx, *w.restore)
	if err != nil {
		return nil, about{}.of(err)
	}
	return d.restoral(ctx, w, told)
}

// GetOperation implements Operations.
func (s *operationsServer) GetOperation(ctx context.Context, r *longrunningpb.GetOperationRequest) (*longrunningpb.Operation, error) {
	w, err := s.door.work(ctx, "get", r.GetName())
	if err != nil {
		return nil, err
	}
	return s.door.show(ctx, w)
}

// CancelOperation implements Operations (spanner.md 4.8). It answers when the end can be read, or after a while all
// the same. What has ended stays as it is, and a restore cannot be stopped.
func (s *operationsServer) CancelOperation(ctx context.Context, r *longrunningpb.CancelOperationRequest) (*emptypb.Empty, error) {
	d := s.door
	wait, stop := context.WithTimeout(ctx, cancelWithin)
	defer stop()
	w, err := d.work(ctx, "cancel", r.GetName())
	if err != nil {
		return nil, err
	}
	if w.restore != nil {
		if lifecycle.RestorePhaseOf(*w.restore) == lifecycle.Ended {
			return &emptypb.Empty{}, nil
		}
		return nil, refuse(codes.Unimplemented, "A restore cannot be cancelled.")
	}
	if !lifecycle.Occupies(*w.backup, false) {
		return &emptypb.Empty{}, nil
	}
	if _, err := d.cancel(ctx, wait, *w.backup); err != nil {
		return nil, about{backup: backupName(*w.backup)}.of(err)
	}
	return &emptypb.Empty{}, nil
}

// cancel asks for the end of a backup that is being made, or joins who has asked, and returns it when it has come, or
// wait ends. A caller who goes takes nothing back.
func (d *Door) cancel(ctx, wait context.Context, b events.Backup) (events.Backup, error) {
	_, err := d.intake.Cancel(ctx, intake.Change{Caller: caller(ctx), Project: b.Project, BackupID: b.BackupID})
	if err != nil && intake.KindOf(err) != intake.Conflict {
		return b, err
	}
	return d.intake.Settled(wait, b.Project, b.BackupID)
}

// WaitOperation implements Operations: it answers with the latest state when there is an end, or after the timeout.
func (s *operationsServer) WaitOperation(ctx context.Context, r *longrunningpb.WaitOperationRequest) (*longrunningpb.Operation, error) {
	d := s.door
	limit := waitAtMost
	if r.GetTimeout() != nil {
		if !r.GetTimeout().IsValid() || r.GetTimeout().AsDuration() < 0 {
			return nil, invalid("timeout must be a duration of 0 or more.")
		}
		limit = min(limit, r.GetTimeout().AsDuration())
	}
	wait, stop := context.WithTimeout(ctx, limit)
	defer stop()
	w, err := d.work(ctx, "get", r.GetName())
	if err != nil {
		return nil, err
	}
	if w.backup != nil {
		b, err := d.intake.Settled(wait, w.backup.Project, w.backup.BackupID)
		if err != nil {
			return nil, about{}.of(err)
		}
		w.backup = &b
	} else {
		r, err := d.intake.SettledRestore(wait, w.restore.Project, w.restore.RestoreID)
		if err != nil {
			return nil, about{}.of(err)
		}
		w.restore = &r
	}
	return d.show(context.WithoutCancel(ctx), w)
}
