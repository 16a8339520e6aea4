package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

// ofCopy tells the keys of copies from the probe of the storage.
func ofCopy(key string) bool { return strings.Contains(key, "/attempt-") }

// wantAlone is a backup that stands with its first copy while that in offsite failed.
func wantAlone(t *testing.T, p executor.Progress, code events.Code, remains bool) {
	t.Helper()
	if p.Err != nil || !p.Done {
		t.Fatalf("done %v: %v", p.Done, p.Err)
	}
	got, ref := p.Outcome.Copies[1], p.Outcome.Ref
	if got.State != events.CopyFailed || got.Remains != remains || got.Error == nil || got.Error.Code != code || len(ref.CopiedTo) != 0 {
		t.Errorf("%+v of %+v, ref %+v", got, got.Error, ref)
	}
	if (len(ref.LeftIn) == 1) != remains {
		t.Errorf("left in %v", ref.LeftIn)
	}
}

func TestCopying_StorageThatHangs_FailsAloneAndIsCleanedByDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &faulty{}
		x, store := setup(t, &hand{}, withFaulty(t, f))
		f.write = func(_ context.Context, key string) error { // deaf: it does not look at its context
			if ofCopy(key) {
				<-release
			}
			return nil
		}
		p := finish(t, x, copiedJob())
		wantAlone(t, p, events.DeadlineExceeded, true)
		close(release)
		synctest.Wait()
		key := strings.TrimPrefix(p.Outcome.Ref.BackupName, "main:") + "dump.sql.zst"
		if err := f.WriteAll(t.Context(), key, []byte("half"), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Delete(t.Context(), *p.Outcome.Ref); err != nil {
			t.Error(err)
		}
		wantNothing(t, store)
		if left := f.keys(t); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestCopying_WorkThatHasToEnd_KeepsTheFirstCopy(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(x *Executor, r executor.Ref) error{
		"deadline": func(x *Executor, r executor.Ref) error {
			remains, err := x.Stop(context.Background(), r)
			if !remains {
				err = errors.Join(err, errors.New("nothing remains"))
			}
			return err
		},
		"close": func(x *Executor, _ executor.Ref) error { return x.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, begun := &faulty{}, make(chan struct{})
			x, store := setup(t, &hand{}, withFaulty(t, f))
			f.write = func(ctx context.Context, key string) error {
				close(begun)
				<-ctx.Done()
				return ctx.Err()
			}
			ref, err := x.Start(t.Context(), copiedJob())
			if err != nil {
				t.Fatal(err)
			}
			<-begun
			if err := stop(x, ref); err != nil {
				t.Error(err)
			}
			p, err := x.Poll(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			wantAlone(t, p, events.Internal, false)
			if len(files(t, store)) != 2 {
				t.Error("the first copy is not whole")
			}
		})
	}
}

func TestCopying_CutInTheMiddle_LeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{}
		x, _ := setup(t, &hand{parts: []Part{{Name: "a", Stream: text("one")}, {Name: "b", Stream: text("two")}}}, withFaulty(t, f))
		f.write = func(_ context.Context, key string) error {
			if strings.Contains(key, "/b.") {
				return errors.New("connection reset")
			}
			return nil
		}
		wantAlone(t, finish(t, x, copiedJob()), events.ProviderUnavailable, false)
		if left := f.keys(t); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// The copy is complete, cannot be read back, and cannot be removed at first.
func TestCopying_CompleteCopyThatCouldNotBeRemoved_IsNotTakenForAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{}
		x, _ := setup(t, &hand{}, withFaulty(t, f))
		reads, removals := 0, 0
		f.read = func(context.Context, string) error {
			if reads++; reads == 1 {
				return errors.New("connection reset")
			}
			return nil
		}
		f.remove = func(context.Context, string) error {
			if removals++; removals == 1 {
				return errors.New("connection reset")
			}
			return nil
		}
		p := finish(t, x, copiedJob())
		if p.Err != nil || p.Outcome.Copies[1].State != events.CopyStored || len(p.Outcome.Ref.LeftIn) != 0 || !cmp.Equal(p.Outcome.Ref.CopiedTo, []string{"offsite"}) {
			t.Errorf("%v, %+v", p.Err, p.Outcome)
		}
	})
}

func TestCopying_WhatCouldNotBeRemoved_IsNamedAndDeletedLater(t *testing.T) {
	t.Parallel()
	f := &faulty{}
	x, _ := setup(t, &hand{parts: []Part{{Name: "a", Stream: text("one")}, {Name: "b", Stream: text("two")}}}, withFaulty(t, f))
	f.write = func(_ context.Context, key string) error {
		if strings.Contains(key, "/b.") {
			return fs.ErrPermission
		}
		return nil
	}
	f.remove = func(context.Context, string) error { return fs.ErrPermission }
	p := finish(t, x, copiedJob())
	wantAlone(t, p, events.PermissionDenied, true)
	f.remove = nil
	if _, err := x.Delete(t.Context(), *p.Outcome.Ref); err != nil {
		t.Error(err)
	}
	if left := f.keys(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCopying_SourceThatIsDamagedOrGone_FailsTheAttempt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(path string) error
		want  events.Code
	}{
		"flipped": {func(path string) error {
			b, err := os.ReadFile(path)
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(path, b, 0o600)
			}
			return err
		}, events.Corrupt},
		"longer": {func(path string) error {
			b, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, append(b, b...), 0o600))
		}, events.Corrupt},
		"gone": {os.Remove, events.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &faulty{}
			x, store := setup(t, &hand{parts: []Part{{Name: "a", Stream: text("one")}, {Name: "b", Stream: text("two")}}}, withFaulty(t, f))
			f.write = func(_ context.Context, key string) error {
				if strings.Contains(key, "/a.") { // the first is being copied
					return c.spoil(filepath.Join(store, strings.Replace(key, "/a.", "/b.", 1)))
				}
				return nil
			}
			p := finish(t, x, copiedJob())
			executortest.WantCode(t, p.Err, c.want)
			wantNothing(t, store)
			if left := f.keys(t); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A cancel while a further storage hangs in everything: the first copy is gone all the same, and what may be left is said.
func TestCopying_CancelWhileAStorageHangs_CleansTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, begun := make(chan struct{}), make(chan struct{})
		f := &faulty{}
		x, store := setup(t, &hand{}, withFaulty(t, f))
		key := strings.Join([]string{"shop", "orders", job().BackupID, "attempt-1", "early"}, "/")
		f.write = func(ctx context.Context, _ string) error {
			if err := f.WriteAll(context.WithoutCancel(ctx), key, []byte("half"), nil); err != nil {
				return err
			}
			close(begun)
			<-release
			return ctx.Err()
		}
		f.remove = func(ctx context.Context, _ string) error { <-release; return nil }
		ref, err := x.Start(t.Context(), copiedJob())
		if err != nil {
			t.Fatal(err)
		}
		<-begun
		if remains, err := x.Cancel(t.Context(), ref); err != nil || !remains {
			t.Errorf("remains %v, %v", remains, err)
		}
		p, err := x.Poll(t.Context(), ref)
		if err != nil || !errors.Is(p.Err, executor.ErrRemains) {
			t.Errorf("%v, %v", p.Err, err)
		}
		wantNothing(t, store)
		close(release)
		synctest.Wait()
		if _, err := x.Delete(t.Context(), ref); err != nil {
			t.Error(err)
		}
	})
}
