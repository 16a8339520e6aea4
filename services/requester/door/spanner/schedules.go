package spanner

import (
	"cmp"
	"context"
	"slices"
	"sort"

	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/requester/intake"
)

const maxSchedules = 4 // of a database (spanner.md 4.10)

// ofDatabase are the schedules that back up a database, by name: its own, and those of the whole instance if that has
// no other database.
func (h home) ofDatabase(database string) (list []events.Schedule) {
	for _, s := range h.schedules {
		if databaseOf(h.Instance, s.Database) == nameOf(h.Instance).database(database) && idForm.MatchString(s.Name) {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b events.Schedule) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.Database, a.Database))
	})
	return slices.CompactFunc(list, func(a, b events.Schedule) bool { return a.Name == b.Name })
}

func (h home) schedule(database, id string) (events.Schedule, bool) {
	for _, s := range h.ofDatabase(database) {
		if s.Name == id {
			return s, true
		}
	}
	return events.Schedule{}, false
}

func (h home) scheduleName(s events.Schedule) string {
	return databaseOf(h.Instance, s.Database) + "/backupSchedules/" + s.Name
}

// plan is a schedule that a request names.
type plan struct {
	home
	name, database, id string
}

// plan finds the instance and the database of a request whose caller holds the permissions; id may be empty where a list
// is asked for.
func (d *Door) plan(ctx context.Context, method, parent, id string, permissions ...string) (plan, error) {
	in, database, ok := parseIn(databaseForm, parent)
	if !ok {
		return plan{}, malformed(method)
	}
	for _, p := range permissions {
		if err := may(ctx, p, parent); err != nil {
			return plan{}, err
		}
	}
	h, err := d.home(ctx, in)
	if err != nil {
		return plan{}, err
	}
	if err := d.schedules(ctx, &h); err != nil {
		return plan{}, about{}.of(err)
	}
	return plan{h, parent + "/backupSchedules/" + id, database, id}, checkDatabase(h.Instance, database)
}

// schedules reads those of an instance.
func (d *Door) schedules(ctx context.Context, h *home) error {
	h.schedules = map[string]events.Schedule{}
	for cursor, first := "", true; first || cursor != ""; first = false {
		list, next, err := d.intake.Schedules(ctx, h.Project, h.Instance.Instance, cursor, maxPage)
		if err != nil {
			return err
		}
		for _, s := range list {
			h.schedules[s.ScheduleID] = s
		}
		cursor = next
	}
	return nil
}

// planOf is plan for a schedule's own name.
func (d *Door) planOf(ctx context.Context, method, name, permission string) (plan, error) {
	p, ok := parts(scheduleForm, name)
	if !ok {
		return plan{}, malformed(method)
	}
	if err := may(ctx, permission, name); err != nil {
		return plan{}, err
	}
	return d.plan(ctx, method, instanceName{p[0], p[1]}.database(p[2]), p[3])
}

func (p plan) standing() (events.Schedule, error) {
	s, ok := p.schedule(p.database, p.id)
	if !ok {
		return s, notFound("Backup schedule", scheduleType, p.name)
	}
	return s, nil
}

// CreateBackupSchedule implements DatabaseAdmin (spanner.md 4.10).
func (s *adminServer) CreateBackupSchedule(ctx context.Context, r *databasepb.CreateBackupScheduleRequest) (*databasepb.BackupSchedule, error) {
	const method = "CreateBackupSchedule"
	if r.GetBackupScheduleId() == "" || r.GetBackupSchedule() == nil {
		return nil, malformed(method)
	}
	if !idForm.MatchString(r.GetBackupScheduleId()) {
		return nil, invalid("Invalid %s request. The backup schedule id must have %s.", method, idRule)
	}
	p, err := s.door.plan(ctx, method, r.GetParent(), r.GetBackupScheduleId(), "spanner.backupSchedules.create", "spanner.databases.createBackup")
	if err != nil {
		return nil, err
	}
	if err := checkLogical(p.Instance); err != nil {
		return nil, err
	}
	taken := alreadyExists("Backup schedule", scheduleType, p.name)
	if _, there := p.schedule(p.database, p.id); there {
		return nil, taken
	}
	config, err := settings{wanted: r.GetBackupSchedule(), instance: p.Instance}.all(events.ScheduleConfig{})
	if err != nil {
		return nil, err
	}
	return s.door.store(ctx, p, intake.Plan{Database: p.database, Among: p.room, Change: func(_ events.Instance, before *events.Schedule) (events.ScheduleConfig, error) {
		if before != nil {
			return config, taken
		}
		return config, nil
	}})
}

// room refuses a schedule too many of a database, among those of its instance.
func (p plan) room(all []events.Schedule) error {
	p.schedules = byID(all)
	if len(p.ofDatabase(p.database)) >= maxSchedules {
		return refuse(codes.ResourceExhausted, "Database %s has %d backup schedules, which is the most: delete one, or change it.", nameOf(p.Instance).database(p.database), maxSchedules)
	}
	return nil
}

func byID(list []events.Schedule) map[string]events.Schedule {
	all := map[string]events.Schedule{}
	for _, s := range list {
		all[s.ScheduleID] = s
	}
	return all
}

// store makes or changes a schedule and shows it.
func (d *Door) store(ctx context.Context, p plan, c intake.Plan) (*databasepb.BackupSchedule, error) {
	c.Caller, c.Project, c.Instance, c.Name = caller(ctx), p.Project, p.Instance.Instance, p.id
	stored, err := d.intake.Plan(ctx, c)
	if err != nil {
		return nil, about{instance: nameOf(p.Instance).String(), schedule: p.name}.of(err)
	}
	return p.show(stored), nil
}

// GetBackupSchedule implements DatabaseAdmin.
func (s *adminServer) GetBackupSchedule(ctx context.Context, r *databasepb.GetBackupScheduleRequest) (*databasepb.BackupSchedule, error) {
	p, err := s.door.planOf(ctx, "GetBackupSchedule", r.GetName(), "spanner.backupSchedules.get")
	if err != nil {
		return nil, err
	}
	found, err := p.standing()
	if err != nil {
		return nil, err
	}
	return p.show(found), nil
}

// UpdateBackupSchedule implements DatabaseAdmin.
func (s *adminServer) UpdateBackupSchedule(ctx context.Context, r *databasepb.UpdateBackupScheduleRequest) (*databasepb.BackupSchedule, error) {
	if err := checkMask(r.GetUpdateMask(), changeable...); err != nil {
		return nil, err
	}
	p, err := s.door.planOf(ctx, "UpdateBackupSchedule", r.GetBackupSchedule().GetName(), "spanner.backupSchedules.update")
	if err != nil {
		return nil, err
	}
	found, err := p.standing()
	if err != nil {
		return nil, err
	}
	wanted := settings{wanted: r.GetBackupSchedule(), instance: p.Instance}
	return s.door.store(ctx, p, intake.Plan{Database: found.Database, Change: func(_ events.Instance, before *events.Schedule) (events.ScheduleConfig, error) {
		if before == nil {
			return events.ScheduleConfig{}, notFound("Backup schedule", scheduleType, p.name)
		}
		return wanted.some(before.Config, r.GetUpdateMask().GetPaths())
	}})
}

// DeleteBackupSchedule implements DatabaseAdmin. Its backups stay.
func (s *adminServer) DeleteBackupSchedule(ctx context.Context, r *databasepb.DeleteBackupScheduleRequest) (*emptypb.Empty, error) {
	p, err := s.door.planOf(ctx, "DeleteBackupSchedule", r.GetName(), "spanner.backupSchedules.delete")
	if err != nil {
		return nil, err
	}
	found, err := p.standing()
	if err != nil {
		return nil, err
	}
	if _, err := s.door.intake.DeleteSchedule(ctx, intake.Unplan{Caller: caller(ctx), Project: p.Project, ScheduleID: found.ScheduleID}); err != nil {
		return nil, about{schedule: p.name}.of(err)
	}
	return &emptypb.Empty{}, nil
}

// ListBackupSchedules implements DatabaseAdmin: by name.
func (s *adminServer) ListBackupSchedules(ctx context.Context, r *databasepb.ListBackupSchedulesRequest) (*databasepb.ListBackupSchedulesResponse, error) {
	const method = "ListBackupSchedules"
	p, ok := pageOf(idForm, method, r.GetParent(), "", r.GetPageSize(), r.GetPageToken())
	if !ok {
		return nil, malformed(method)
	}
	of, err := s.door.plan(ctx, method, r.GetParent(), "", "spanner.backupSchedules.list")
	if err != nil {
		return nil, err
	}
	list := of.ofDatabase(of.database)
	list = list[sort.Search(len(list), func(i int) bool { return list[i].Name > p.cursor }):]
	out := &databasepb.ListBackupSchedulesResponse{}
	if len(list) > p.size {
		list = list[:p.size]
		out.NextPageToken = p.next(list[p.size-1].Name)
	}
	for _, s := range list {
		out.BackupSchedules = append(out.BackupSchedules, of.show(s))
	}
	return out, nil
}
