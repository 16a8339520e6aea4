package executors_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/events/lifecycle"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

func TestFault_OfACopyFailsItsVerificationOnceWithAReasonForPeople(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, f *faulty)
		want  events.Failure
	}{
		{"deleted object", func(t *testing.T, f *faulty) {
			f.verify = func(*pipelinetest.Pipeline) { f.remove(t) }
		}, events.Failure{Code: events.NotFound, Category: events.BySystem,
			Message: `the copy is not in storage "default": it was removed, or never completed`}},
		{"flipped byte", func(t *testing.T, f *faulty) {
			f.verify = func(*pipelinetest.Pipeline) { f.flip(t) }
		}, events.Failure{Code: events.Corrupt, Category: events.BySystem,
			Message: "the stored object cannot be decompressed: the copy is damaged"}},
		{"wrong key", func(t *testing.T, f *faulty) { f.otherKey(t) }, events.Failure{Code: events.PermissionDenied, Category: events.BySystem,
			Message: "the copy is encrypted to other keys than this executor has: add the identity of one of its recipients to the executor's setting identities"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			c.spoil(t, f)
			p, id := f.run(t, 2)
			p.Await("shop", id, events.Succeeded)
			f.verify(p)
			if code, answer := p.Call(http.MethodPost, base+"/"+id+":verify", `{"method":"RESTORE_TEST"}`); code != http.StatusAccepted {
				t.Fatalf("verify: %d %s", code, answer)
			}
			p.Await("shop", id, events.Verified, events.VerificationFailed)
			steps, last := f.told(t, p, id)
			if diff := cmp.Diff([]string{"requested", "started", "succeeded", "verification_requested", "verification_failed"}, steps); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(&c.want, last.Check.Error); diff != "" {
				t.Error(diff)
			}
			if !lifecycle.Good(last) || last.Error != nil {
				t.Errorf("record %+v", last)
			}
		})
	}
}

// remove removes the object of the copy.
func (f *faulty) remove(t *testing.T) {
	t.Helper()
	if err := os.Remove(f.object(t)); err != nil {
		t.Fatal(err)
	}
}

// flip changes one bit of it.
func (f *faulty) flip(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(f.object(t))
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(f.object(t), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// otherKey encrypts the copy, and takes the key away when there is one.
func (f *faulty) otherKey(t *testing.T) {
	t.Helper()
	key, to := f.identity(t, "own")
	other, _ := f.identity(t, "other")
	f.executors.Identities, f.instance.EncryptTo = key, []string{to}
	f.verify = func(p *pipelinetest.Pipeline) {
		p.Executors.Stop()
		if err := os.Rename(other, key); err != nil {
			t.Fatal(err)
		}
		p.Executors.Start()
	}
}
