package spanner

import (
	"context"
	"regexp"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
)

// ListBackups implements DatabaseAdmin (spanner.md 4.7): what stands, newest first.
func (s *adminServer) ListBackups(ctx context.Context, r *databasepb.ListBackupsRequest) (*databasepb.ListBackupsResponse, error) {
	const method = "ListBackups"
	in, ok := parseInstance(r.GetParent())
	if !ok {
		return nil, malformed(method)
	}
	match, err := parseFilter(r.GetFilter(), backupFields{})
	p, ok := pageOf(backupCursor, method, r.GetParent(), r.GetFilter(), r.GetPageSize(), r.GetPageToken())
	if err != nil || !ok {
		return nil, malformed(method)
	}
	if err := may(ctx, "spanner.backups.list", in.String()); err != nil {
		return nil, err
	}
	d := s.door
	h, err := d.home(ctx, in)
	if err != nil {
		return nil, err
	}
	list, next, err := gather(p, lifecycle.CreationKey, func(cursor string, limit int) ([]events.Backup, string, error) {
		list, next, err := d.intake.Standing(ctx, in.project, in.instance, cursor, limit)
		if err == nil {
			err = d.refer(ctx, &h, list...)
		}
		return list, next, err
	}, func(b events.Backup) (*databasepb.Backup, bool, error) {
		out := h.backup(b)
		return out, match == nil || match(shown{out}), nil
	})
	if err != nil {
		return nil, about{}.of(err)
	}
	return &databasepb.ListBackupsResponse{Backups: list, NextPageToken: p.next(next)}, nil
}

// ListBackupOperations implements DatabaseAdmin: the creations of an instance's backups, newest first.
func (s *adminServer) ListBackupOperations(ctx context.Context, r *databasepb.ListBackupOperationsRequest) (*databasepb.ListBackupOperationsResponse, error) {
	const method = "ListBackupOperations"
	in, ok := parseInstance(r.GetParent())
	if !ok {
		return nil, malformed(method)
	}
	list, next, err := s.door.creations(ctx, listing{method, in, r.GetParent(), r.GetFilter(), r.GetPageSize(), r.GetPageToken()}, "")
	if err != nil {
		return nil, err
	}
	return &databasepb.ListBackupOperationsResponse{Operations: list, NextPageToken: next}, nil
}

// listing is a list of operations that is asked for.
type listing struct {
	method string
	instanceName
	parent, filter string
	size           int32
	token          string
}

func (l listing) read(form *regexp.Regexp) (page, expr, error) {
	match, err := parseFilter(l.filter, operationFields{})
	p, ok := pageOf(form, l.method, l.parent, l.filter, l.size, l.token)
	if err != nil || !ok {
		return p, nil, malformed(l.method)
	}
	return p, match, nil
}

// longestRun is how long a run may take whose operation is still listed keepOperations after its end. One that takes
// longer is listed while it runs.
const longestRun = 7 * 24 * time.Hour

// since is when the oldest operation began that is listed although it has ended.
func (d *Door) since() time.Time { return d.now().Add(-keepOperations - longestRun) }

// creations are a page of the operations that made backups; id is that of one backup, or empty.
func (d *Door) creations(ctx context.Context, l listing, id string) ([]*longrunningpb.Operation, string, error) {
	p, match, err := l.read(backupCursor)
	if err != nil {
		return nil, "", err
	}
	if err := may(ctx, "spanner.backupOperations.list", l.parent); err != nil {
		return nil, "", err
	}
	h, err := d.home(ctx, l.instanceName)
	if err != nil {
		return nil, "", err
	}
	var told percents
	list, next, err := gather(p, lifecycle.CreationKey, func(cursor string, limit int) ([]events.Backup, string, error) {
		list, next, err := d.intake.Creations(ctx, l.project, l.instance, id, d.since(), cursor, limit)
		if err == nil {
			told, err = d.percents(ctx, list...)
		}
		return list, next, err
	}, func(b events.Backup) (*longrunningpb.Operation, bool, error) {
		if d.forgotten(lifecycle.OperationsOf(b)[0]) {
			return nil, false, nil
		}
		op, err := h.creation(b, told)
		return op, err == nil && (match == nil || match(shown{op})), err
	})
	return list, p.next(next), about{}.of(err)
}

// restorals are a page of the operations that restore into a database.
func (d *Door) restorals(ctx context.Context, l listing, database string) ([]*longrunningpb.Operation, string, error) {
	p, match, err := l.read(restoreCursor)
	if err != nil {
		return nil, "", err
	}
	if err := may(ctx, "spanner.databaseOperations.list", l.parent); err != nil {
		return nil, "", err
	}
	h, err := d.home(ctx, l.instanceName)
	if err != nil {
		return nil, "", err
	}
	var told percents
	list, next, err := gather(p, lifecycle.RestoreKey, func(cursor string, limit int) ([]events.Restore, string, error) {
		list, next, err := d.intake.Restorals(ctx, l.project, l.instance, database, d.since(), cursor, limit)
		if err == nil {
			told, err = d.percentsOfRestores(ctx, list...)
		}
		return list, next, err
	}, func(r events.Restore) (*longrunningpb.Operation, bool, error) {
		if d.forgotten(lifecycle.OperationOf(r)) {
			return nil, false, nil
		}
		out, err := d.restoral(ctx, work{home: h, restore: &r}, told)
		return out, err == nil && (match == nil || match(shown{out})), err
	})
	return list, p.next(next), about{}.of(err)
}

// ListOperations implements Operations. The name ends in /operations; gRPC callers may leave that out (spanner.md 4.7).
func (s *operationsServer) ListOperations(ctx context.Context, r *longrunningpb.ListOperationsRequest) (*longrunningpb.ListOperationsResponse, error) {
	const method = "ListOperations"
	if r.GetReturnPartialSuccess() {
		return nil, refuse(codes.Unimplemented, "return_partial_success is not supported.")
	}
	owner := strings.TrimSuffix(r.GetName(), operationsEnd)
	l := listing{method: method, parent: owner, filter: r.GetFilter(), size: r.GetPageSize(), token: r.GetPageToken()}
	var list []*longrunningpb.Operation
	var next string
	var err error
	var id string
	var ok bool
	if l.instanceName, id, ok = parseIn(backupForm, owner); ok {
		list, next, err = s.door.creations(ctx, l, id)
	} else if l.instanceName, id, ok = parseIn(databaseForm, owner); ok {
		list, next, err = s.door.restorals(ctx, l, id)
	} else if l.instanceName, ok = parseInstance(owner); ok { // nothing here works on an instance as such
		if _, _, err = l.read(backupCursor); err == nil {
			err = may(ctx, "spanner.backupOperations.list", owner)
		}
		if err == nil {
			_, err = s.door.home(ctx, l.instanceName)
		}
	} else if _, ok = parts(configForm, owner); ok {
		if _, _, err = l.read(backupCursor); err == nil {
			err = may(ctx, "spanner.backupOperations.list", owner)
		}
	} else {
		err = malformed(method)
	}
	if err != nil {
		return nil, err
	}
	return &longrunningpb.ListOperationsResponse{Operations: list, NextPageToken: next}, nil
}
