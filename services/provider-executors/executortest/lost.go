package executortest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

func recoverRunning(t *testing.T, h Harness) {
	if h.Stalled == nil {
		t.Skip("the harness cannot stall")
	}
	e, halted := h.Stalled(t)
	r, ok := e.(executor.Recoverer)
	if !ok {
		t.Skip("the executor cannot recover")
	}
	j := h.Job(t, backup, 1)
	ref := start(t, e, j)
	<-halted
	got, found, err := r.Recover(t.Context(), j)
	if err != nil || !found {
		t.Fatalf("recover of running work: found %v, %v", found, err)
	}
	if diff := cmp.Diff(ref, got); diff != "" {
		t.Errorf("reference (-started +recovered):\n%s", diff)
	}
	if p, err := e.Poll(t.Context(), got); err != nil || p.Done {
		t.Errorf("poll of recovered work: %+v, %v", p, err)
	}
}

func recoverLost(t *testing.T, h Harness) {
	if h.Lose == nil {
		t.Skip("the harness cannot lose a process")
	}
	j := h.Job(t, backup, 1)
	h.Lose(t, j)
	if len(h.Left(t, j)) == 0 {
		t.Fatal("the lost process left nothing: the case proves nothing")
	}
	e := h.New(t)
	ref, found, err := e.(executor.Recoverer).Recover(t.Context(), j)
	if err != nil || found {
		t.Fatalf("recover: %v, found %v, %v", ref, found, err)
	}
	wantNothingLeft(t, h, j)

	next := h.Job(t, backup, 2)
	o := Take(t, e, next)
	if v, ok := e.(executor.Verifier); ok {
		if _, err := v.Verify(t.Context(), next, *o.Ref, o.Checksum, events.ProofChecked); err != nil {
			t.Errorf("verify the next attempt: %v", err)
		}
	}
	if _, err := e.Poll(t.Context(), executor.LocalRef(j)); !errors.Is(err, executor.ErrLost) {
		t.Errorf("poll of the lost attempt: want ErrLost, got %v", err)
	}
}
