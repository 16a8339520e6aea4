package view

import (
	"fmt"
	"hash/fnv"

	"github.com/backupbus/backupbus/events"
)

// Every key of the view is made here. The hash tag {vNN} is the shard of the project, so that in a Redis
// Cluster all keys of a project lie in one slot and a MULTI over them is possible. Nothing expires but
// progress: what the view forgets, it deletes.
//
//	key                                      type    value
//	bb:{v07}:checkpoint:5                    string  {"epoch","seq"}: what the shard has applied, and in which layout
//	bb:{v07}:doc:backup:{project}:bk_…       string  Doc, one per aggregate
//	bb:{v07}:progress:{project}:bk_…, rs_…   string  events.Progress and peak, expires after 15 d
//	bb:{v07}:ref:{index}:{project}:…         string  id of the aggregate that a dialect's id names
//	bb:{v07}:set:{set}:{project}[:{instance}] zset   members "{sort key}.{id}", all of score 0
//	bb:{v07}:set:listed:{project}:{instance}:{trigger} zset, likewise; _ for all instances
//	bb:{v07}:set:named:{project}             zset   members "{name}.{sort key}.{id}", all of score 0
//	bb:{v07}:fleet                           zset   members "{project}" LF "{instance}": the instances of all projects
//
// Projects share shards, and what is kept under an id is the project's own: every key but the checkpoint names it.

// Shard is the number of a project's slot: hash of the project modulo the shards of the bus.
func Shard(project string, shards int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(project))
	return int(h.Sum32() % uint32(shards))
}

func tag(shard int) string { return fmt.Sprintf("bb:{v%02d}:", shard) }

// layout is the number of the layout above. A view of another one has no checkpoint under this key: it is dropped
// and rebuilt, and not read meanwhile.
const layout = "5"

func checkpointKey(shard int) string { return tag(shard) + "checkpoint:" + layout }

func docKey(shard int, k Key) string {
	return tag(shard) + "doc:" + string(k.Entity) + ":" + joined(k.Project, []string{k.ID})
}

func progressKey(shard int, project, id string) string {
	return tag(shard) + "progress:" + joined(project, []string{id})
}

// index names a way to find an aggregate by an id of some dialect.
type index string

const (
	byInstanceName index = "instance"  // project, instance name → in_…
	byCloudSQL     index = "cloudsql"  // project, instance name, run id → bk_…
	bySpanner      index = "spanner"   // project, instance name, backup id of Spanner → bk_… of the one that stands
	byOperation    index = "operation" // project, operation id → {entity}/{id}
	byGaussDB      index = "gaussdb"   // project, first 16 characters of a backup id of GaussDB → bk_…
	byGaussInst    index = "gaussinst" // project, instance id of GaussDB → name of the instance, be it there or not
	byShort        index = "short"     // project, first 16 hex digits of an operation id → operation id; creations and restores
)

func refKey(shard int, i index, project string, parts ...string) string {
	return tag(shard) + "ref:" + string(i) + ":" + joined(project, parts)
}

// set names an ordered set of aggregates.
type set string

const (
	backupsOf      set = "backups"    // project [, instance]: those not deleted, by enqueued time
	activeOf       set = "active"     // project, instance: those that occupy the instance
	instancesOf    set = "instances"  // project: by name
	schedulesOf    set = "schedules"  // project [, instance]: by id
	standingOf     set = "standing"   // project, instance: those that stand, newest first
	creationsOf    set = "creations"  // project, instance: those ever asked for, gone ones too, newest first
	creationsNamed set = "made"       // project, instance: the same by the name that Spanner shows
	restoralsInto  set = "restorals"  // project, target instance: restores by database, then newest first
	copyingFrom    set = "copying"    // project, instance: copies of its backups that are being made
	restoringFrom  set = "from"       // project, instance: restores of its backups that have not ended
	restoringOf    set = "restoring"  // project, backup id: restores that have not ended
	restoringInto  set = "into"       // project, target instance: restores that have not ended
	operationsOf   set = "operations" // project [, instance]: by start, else insert time
	goodOf         set = "good"       // project, instance: what can be restored, by the time of its data
	slotsOf        set = "slots"      // project, instance: due times with their outcomes, those of deleted backups too
	listedOf       set = "listed"     // project, instance or "", trigger: the numbered lists, newest first
	namedOf        set = "named"      // project: the same by name, then newest first
)

func fleetKey(shard int) string { return tag(shard) + "fleet" }

func setKey(shard int, s set, project string, parts ...string) string {
	return tag(shard) + "set:" + string(s) + ":" + joined(project, parts)
}

// joined escapes the parts, so that no name can reach into another's key.
func joined(project string, parts []string) string {
	out := escaped(project)
	for _, p := range parts {
		out += ":" + escaped(p)
	}
	return out
}

func escaped(s string) string {
	t, err := events.Token(s)
	if err != nil {
		return "_" // the empty name; names are checked long before
	}
	return t
}
