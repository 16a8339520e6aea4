package executortest

import (
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

func verify(t *testing.T, h Harness) {
	e, j := h.New(t), h.Job(t, backup, 1)
	v, ok := e.(executor.Verifier)
	if !ok {
		t.Skip("the executor cannot verify")
	}
	o := Take(t, e, j)
	stop := watched(t)
	checked, err := v.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofRestored)
	stop()
	if err != nil || checked.Bytes != o.SizeBytes || checked.Evidence.Copies != 1 || checked.Evidence.Objects == 0 {
		t.Errorf("verify of a whole copy: %+v of %d bytes, %v", checked, o.SizeBytes, err)
	}
	h.Flip(t, *o.Ref)
	_, err = v.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofChecked)
	WantCode(t, err, events.Corrupt)
	h.Remove(t, *o.Ref)
	_, err = v.Verify(t.Context(), j, *o.Ref, o.Checksum, events.ProofChecked)
	WantCode(t, err, events.NotFound)
}

func verifyOther(t *testing.T, h Harness) {
	e, j := h.New(t), h.Job(t, backup, 1)
	v, ok := e.(executor.Verifier)
	if !ok || !h.Checksums {
		t.Skip("the executor does not compare checksums")
	}
	o := Take(t, e, j)
	other := events.Checksum{Algorithm: "sha256", Value: strings.Repeat("0", 64)}
	_, err := v.Verify(t.Context(), j, *o.Ref, &other, events.ProofChecked)
	WantCode(t, err, events.Corrupt)
}
