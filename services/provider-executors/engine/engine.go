package engine

import (
	"context"
	"io"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Engine knows one kind of database. All methods are safe for concurrent use, obey ctx and leave nothing
// running when they return. Errors hold an *events.Failure for what belongs into an event; its message
// names no path, address or value of the data. Any other error becomes INTERNAL there.
type Engine interface {
	// Prepare reaches the source of j and finds out that it can be backed up: tool found and new enough,
	// login, rights, room. It changes nothing on the server, and what it can refuse is refused before the
	// server is asked for anything that costs.
	Prepare(ctx context.Context, j executor.Job) (Source, error)

	// Prove reads a stored copy through c and proves it to the level CHECKED (every object is whole, by the
	// tool's own measure) or RESTORED (CHECKED, and loaded into a scratch database whose content is
	// compared). It has to unpack every object to its end. CORRUPT: the copy cannot be trusted.
	Prove(ctx context.Context, level events.Proof, c Copy) (Loaded, error)

	// Restore puts a copy into j.Target. Its objects have been compared with their checksums and can be
	// decrypted. A target that holds data is refused with ALREADY_EXISTS unless j.Overwrite.
	Restore(ctx context.Context, j executor.RestoreJob, c Copy) error

	// RecoverRestore removes what a restore of a process that is gone left in its target.
	RecoverRestore(ctx context.Context, j executor.RestoreJob) error
}

// Loaded is what a proof of RESTORED compared. The zero value is that of CHECKED.
type Loaded struct {
	Tables, Rows int64
	Checksums    bool // the rows by checksum, and not by their number alone
}

// Inspector is implemented by engines that can say what is missing before a backup is tried.
type Inspector interface {
	// Inspect looks at everything and goes on after what it finds wrong.
	Inspect(ctx context.Context, j executor.Job) []Finding
}

// Finding is one thing that was looked at.
type Finding struct {
	Subject string // "login", "privileges", "tool mariadb-dump"
	Said    string // what was found: a version, a name
	Err     error  // what is wrong and what to do; nil if nothing is
}

// Sweeper is implemented by engines whose tool may leave something on the server when the executor is killed.
type Sweeper interface {
	// Sweep ends what an attempt of a process that is gone still has open on the server, sessions that wait
	// for a lock say.
	Sweep(ctx context.Context, j executor.Job) error
}

// ChangeDetector is implemented by engines that can tell that nothing was written.
type ChangeDetector interface {
	// Fingerprint is equal to an earlier one only if nothing was committed in between. Empty: not known,
	// which is never equal to anything.
	Fingerprint(ctx context.Context, j executor.Job) (string, error)
}

// Source is the source of one attempt. The executor streams its parts in order, one at a time, then closes
// it, also after an error; the copy is proven when the source is closed.
type Source interface {
	Parts() []Part
	// About is asked when all parts have been streamed.
	About() About
	// Close ends what the source holds, on the server too: no query of it goes on, no lock stays.
	Close() error
}

// Scratching is implemented by sources whose proof needs room in the scratch folder, so that a lack of it is
// seen before anything is read.
type Scratching interface {
	ScratchNeed(to events.Proof) int64
}

// Part is one stream of a source; it becomes one object.
type Part struct {
	Name     string // of the object: letters, digits, _ . ~ -; without the endings of compression and encryption
	Database string // what it holds; empty: no one database
	Recipe   string // how the plain bytes are put back: "| mariadb", "> restored.sqlite"
	Bytes    int64  // how much is to be expected, a guess; 0: not known
	// Stream writes the part to w. A nil error means that the tool ended well and that its output is whole.
	// Errors of w come back as they are.
	Stream func(ctx context.Context, w io.Writer) (archive.Content, error)
}

// About is what is known of a source.
type About struct {
	Kind            string // LOGICAL, PHYSICAL
	EngineVersion   string
	Tool            archive.Tool
	ConsistencyTime time.Time // what was committed before is in the copy
	Position        string    // in the server's log, at that time
	Fingerprint     string    // taken at or before that time; empty: not known
}

// Kinds of a backup (events.md 2.1).
const (
	Logical  = "LOGICAL"
	Physical = "PHYSICAL"
)

// Copy is a stored copy that is being proven or put back.
type Copy struct {
	Manifest archive.Manifest
	*reading
}

// reading is where a Copy reads from, and what was read.
type reading struct {
	from    *archive.Copy
	scratch *Scratch
	name    string // of the scratch folder
	dir     *scratchDir
	whole   map[string]bool // objects that were unpacked to the end
	pace    *pace           // of a restore, nil in a proof
}

// Expect says that so many bytes more will be read than those of each object once, or fewer: a restore tells how far
// it is.
func (r *reading) Expect(bytes int64) {
	if r.pace != nil {
		r.pace.expect(bytes)
	}
}

// Unpack writes the plain bytes of an object to w. Only after nil has w got all of them, and they are those
// that were stored.
func (r *reading) Unpack(ctx context.Context, o archive.Object, w io.Writer) error {
	if r.pace != nil {
		r.pace.tell(events.Copying)
		defer r.pace.elsewhere()
		w = r.pace.counting(w)
	}
	if _, err := r.from.Extract(ctx, o, w); err != nil {
		return err
	}
	r.whole[o.Name] = true
	return nil
}

// Scratch is a private folder with room for need bytes. It is made by the first call and removed, with
// everything in it, when the proof or restore has ended.
func (r *reading) Scratch(need int64) (string, error) {
	if r.dir != nil {
		return r.dir.path(), nil
	}
	d, err := r.scratch.make(r.name, need)
	if err != nil {
		return "", err
	}
	r.dir = d
	return d.path(), nil
}

func (r *reading) close() error {
	if r.dir == nil {
		return nil
	}
	return r.dir.remove()
}
