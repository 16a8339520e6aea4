package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// backUp is one attempt from the first question to the manifest, between its hooks. On any error nothing
// of it remains.
func (x *Executor) backUp(ctx context.Context, j executor.Job, report func(executor.Progress)) (lifecycle.Outcome, error) {
	start := x.Now()
	c, err := x.Storages.Of(j)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	if err := c.RefuseFinished(ctx); err != nil {
		return lifecycle.Outcome{}, err
	}
	p := &pace{report: x.watched(ctx, j, report), now: x.Now, phase: events.Preparing}
	ctx = executor.WithAlive(ctx, p.alive)
	if j.Source != nil {
		return x.duplicate(ctx, c, j, p)
	}
	src, err := x.engine.Prepare(ctx, j)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	open := &opened{Source: src, post: func(outcome string) {
		x.Limits.leaveServer(j.BackupID)
		x.post(ctx, j, outcome)
	}}
	defer func() { _ = open.end(failed) }() // after an error, which tells more than that of closing
	if err := x.refuseSource(src, level(j)); err != nil {
		return lifecycle.Outcome{}, err
	}
	if err := x.pre(ctx, j); err != nil {
		return lifecycle.Outcome{}, err
	}
	return x.attempt(ctx, c, open, j, start, p)
}

// refuseSource says what would fail only when everything has been read.
func (x *Executor) refuseSource(src Source, to events.Proof) error {
	if n := len(src.Parts()); n > archive.MaxObjects {
		return rejected("the instance has %d databases, and a copy holds at most %d: name fewer, or split the instance", n, archive.MaxObjects)
	}
	if s, ok := src.(Scratching); ok && to != events.ProofStored {
		return x.Scratch.room(s.ScratchNeed(to))
	}
	return nil
}

// pre runs the pre hook. That it was begun is noted on disk, so that the post hook runs after a crash too.
func (x *Executor) pre(ctx context.Context, j executor.Job) error {
	if j.Config.Hooks == nil {
		return nil
	}
	if err := x.Scratch.note(hookNote(j)); err != nil {
		return err
	}
	return x.Hooks.before(ctx, j)
}

func hookNote(j executor.Job) string { return scratchName(j) + "-hook" }

// post runs the post hook, once for a note of pre: also for an attempt whose process is gone. A copy is not worse for its failure, so that is said in the
// log alone.
func (x *Executor) post(ctx context.Context, j executor.Job, outcome string) {
	if !x.Scratch.noted(hookNote(j)) {
		return
	}
	defer x.Scratch.forget(hookNote(j))
	if err := x.Hooks.after(ctx, j, outcome); err != nil {
		x.Log.ErrorContext(ctx, "hook after the backup failed", "backup_id", j.BackupID, "error", events.Redact(err.Error()))
	}
}

func (x *Executor) attempt(ctx context.Context, c *archive.Copy, src *opened, j executor.Job, start time.Time, p *pace) (o lifecycle.Outcome, err error) {
	whole, copying := false, false
	defer func() {
		if !whole { // an error or a panic; first the server is let go, then the storages are asked
			_ = src.end(failed)
			err = errors.Join(err, x.abandonAll(ctx, c, j, copying))
		}
	}()
	m, err := x.store(ctx, c, src, j, p)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	m.StartTime = events.At(start)
	if err := x.prove(ctx, c, j, &m, p); err != nil {
		return lifecycle.Outcome{}, err
	}
	copying = true
	if o, err = x.finish(ctx, c, j, m, p); err != nil {
		return lifecycle.Outcome{}, err
	}
	whole = true
	return o, nil
}

// store streams every part into its object and closes the source.
func (x *Executor) store(ctx context.Context, c *archive.Copy, src *opened, j executor.Job, p *pace) (archive.Manifest, error) {
	parts := src.Parts()
	for _, part := range parts {
		p.expect(part.Bytes)
	}
	p.tell(events.Copying)
	m := archive.Manifest{
		BackupID: j.BackupID, Attempt: j.Attempt, Project: j.Project, Instance: j.Instance, Provider: x.provider, Database: j.Database,
		Engine: j.Config.Engine, Proof: level(j), EncryptedTo: j.Config.EncryptTo,
	}
	if m.Engine == "" {
		m.Engine = x.provider
	}
	for _, part := range parts {
		var content archive.Content
		o, err := c.Write(ctx, archive.Stream{Name: part.Name, EncryptTo: j.Config.EncryptTo, Expect: part.Bytes}, func(w io.Writer) (err error) {
			content, err = part.Stream(ctx, p.counting(w))
			return err
		})
		if err != nil {
			return m, err
		}
		o.Database, o.Content, o.Restore = part.Database, content, recipe(o, part.Recipe)
		m.Objects = append(m.Objects, o)
	}
	if len(m.Objects) == 0 {
		return m, rejected("there is nothing to back up: the instance has no database of those it names")
	}
	about := src.About()
	m.Kind, m.EngineVersion, m.Tool = about.Kind, about.EngineVersion, about.Tool
	m.ConsistencyTime, m.Position, m.Fingerprint = events.At(about.ConsistencyTime), about.Position, about.Fingerprint
	return m, src.end(copied)
}

// recipe is the line that puts an object back with stock tools.
func recipe(o archive.Object, last string) string {
	if o.Encryption == archive.Age {
		return "age -d -i KEYFILE " + o.Name + " | zstd -dc " + last
	}
	return "zstd -dc " + o.Name + " " + last
}

// prove proves the objects and writes the manifest.
func (x *Executor) prove(ctx context.Context, c *archive.Copy, j executor.Job, m *archive.Manifest, p *pace) error {
	p.tell(events.Finalizing)
	if err := x.bigEnough(j, *m); err != nil {
		return err
	}
	if m.Proof != events.ProofStored {
		found, err := x.proven(ctx, m.Proof, c, *m, scratchName(j))
		if err != nil {
			return fmt.Errorf("prove the copy: %w", err)
		}
		m.Evidence = &found.Evidence
	}
	m.EndTime = events.At(x.Now())
	return c.WriteManifest(ctx, *m)
}

// finish makes the further copies. The first is complete and proven.
func (x *Executor) finish(ctx context.Context, c *archive.Copy, j executor.Job, m archive.Manifest, p *pace) (lifecycle.Outcome, error) {
	ref, err := x.ref(j)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	all, err := x.copyOut(ctx, c, ref, m, p)
	if err != nil {
		return lifecycle.Outcome{}, err
	}
	return outcome(m, ref, all), nil
}

// outcome is what is told of a copy that is complete and proven, and of its further copies.
func outcome(m archive.Manifest, ref executor.Ref, all copies) lifecycle.Outcome {
	ref.CopiedTo, ref.LeftIn = all.stored, all.left
	evidence := m.Evidence
	if evidence != nil {
		seen := *evidence
		seen.Copies += all.checked
		evidence = &seen
	}
	return lifecycle.Outcome{
		Proof: m.Proof, Evidence: evidence, SizeBytes: m.StoredBytes(), Kind: m.Kind, EngineVersion: m.EngineVersion, Checksum: m.Checksum(),
		ConsistencyTime: m.ConsistencyTime.Time, Encryption: encryption(m), Ref: &ref, Copies: all.states,
	}
}

// bigEnough is Deps.MinSizeRatio.
func (x *Executor) bigEnough(j executor.Job, m archive.Manifest) error {
	if floor := x.MinSizeRatio * float64(j.LastSize); float64(m.StoredBytes()) < floor {
		return &events.Failure{Code: events.Corrupt, Category: events.ByUser, Message: fmt.Sprintf(
			"the copy has %d bytes and the last good one had %d: look whether the database was emptied; if it is right, lower minSizeRatio of the executor for one backup",
			m.StoredBytes(), j.LastSize)}
	}
	return nil
}

// encryption is what the record says of it: the first recipient stands for all, the manifest has them.
func encryption(m archive.Manifest) *events.Encryption {
	if len(m.EncryptedTo) == 0 {
		return &events.Encryption{Type: "NONE"}
	}
	return &events.Encryption{Type: "CUSTOMER_MANAGED", KeyName: m.EncryptedTo[0]}
}

func (x *Executor) watched(ctx context.Context, j executor.Job, report func(executor.Progress)) func(executor.Progress) {
	if x.Reported == nil {
		return report
	}
	return func(p executor.Progress) {
		report(p)
		x.Reported(ctx, j, p)
	}
}

// opened is a source that is closed once, and the post hook behind it: what a pre hook halted goes on as
// soon as nothing is read any more, and not only when the copy has been proven.
type opened struct {
	Source
	post  func(outcome string)
	ended bool
}

func (o *opened) end(outcome string) error {
	if o.ended {
		return nil
	}
	o.ended = true
	err := o.Close()
	if err != nil {
		outcome = failed
	}
	o.post(outcome)
	return err
}
