// Package viewtest is the suite that defines view.Store: every implementation passes it. It also starts a
// real Redis for tests.
package viewtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/services/status-tracker/view"
)

// Harness opens one implementation.
type Harness struct {
	// Open returns an empty store that nobody else uses.
	Open func(t testing.TB) view.Store
	// Advance lets time pass for the store, so that what lives less than d is gone.
	Advance func(t testing.TB, d time.Duration)
}

// Run holds an implementation against the promises of view.Store, and a View over it against its own.
func Run(t *testing.T, h Harness) {
	for name, f := range map[string]func(*testing.T, Harness){
		"values":   testValues,
		"sets":     testSets,
		"expiry":   testExpiry,
		"drop":     testDrop,
		"changed":  testChanged,
		"view":     testView,
		"pages":    testPages,
		"copies":   testCopies,
		"recent":   testRecent,
		"fallback": testFallback,
		"rebuild":  testRebuild,
		"forget":   testForget,
		"position": testPosition,
		"projects": testProjects,
		"layout":   testLayout,
		"health":   testHealth,
		"fleet":    testFleet,
		"ranks":    testRanks,
		"ranked":   testRanksMove,
		"listing":  testListing,
		"listed":   testListingMoves,
		"gauss":    testGaussIDs,
	} {
		t.Run(name, func(t *testing.T) { f(t, h) })
	}
}

func commit(t *testing.T, s view.Store, w view.Writes) {
	t.Helper()
	if err := s.Commit(t.Context(), w); err != nil {
		t.Fatal(err)
	}
}

func testValues(t *testing.T, h Harness) {
	s := h.Open(t)
	commit(t, s, view.Writes{Put: []view.Pair{{Key: "bb:{v00}:a", Value: []byte("1")}, {Key: "bb:{v01}:b", Value: []byte("2")}}})
	got, err := s.Get(t.Context(), "bb:{v00}:a", "bb:{v00}:none", "bb:{v01}:b")
	if diff := cmp.Diff([][]byte{[]byte("1"), nil, []byte("2")}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	commit(t, s, view.Writes{Delete: []string{"bb:{v00}:a"}, Put: []view.Pair{{Key: "bb:{v01}:b", Value: []byte("3")}}})
	got, err = s.Get(t.Context(), "bb:{v00}:a", "bb:{v01}:b")
	if diff := cmp.Diff([][]byte{nil, []byte("3")}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if got, err := s.Get(t.Context()); len(got) != 0 || err != nil {
		t.Errorf("Get of nothing: %v, %v", got, err)
	}
}

func testSets(t *testing.T, h Harness) {
	s := h.Open(t)
	const key = "bb:{v00}:set:x"
	var w view.Writes
	for _, m := range []string{"c", "a", "e", "b", "d"} {
		w.Add = append(w.Add, view.Member{Set: key, Value: m})
	}
	commit(t, s, w)
	for _, c := range []struct {
		r    view.Range
		want []string
	}{
		{view.Range{Limit: 10}, []string{"a", "b", "c", "d", "e"}},
		{view.Range{Limit: 2}, []string{"a", "b"}},
		{view.Range{Limit: 2, After: "b"}, []string{"c", "d"}},
		{view.Range{Limit: 9, After: "b", Before: "d"}, []string{"c"}},
		{view.Range{Limit: 9, After: "bb"}, []string{"c", "d", "e"}},
		{view.Range{Limit: 2, Reverse: true}, []string{"e", "d"}},
		{view.Range{Limit: 2, Reverse: true, Before: "d"}, []string{"c", "b"}},
		{view.Range{Limit: 9, Reverse: true, Before: "dd"}, []string{"d", "c", "b", "a"}},
		{view.Range{Limit: 9, Reverse: true, Before: "d", After: "a"}, []string{"c", "b"}},
		{view.Range{Limit: 0}, nil},
	} {
		got, err := s.Range(t.Context(), key, c.r)
		if diff := cmp.Diff(c.want, append([]string(nil), got...)); diff != "" || err != nil {
			t.Errorf("%+v: %v\n%s", c.r, err, diff)
		}
	}
	commit(t, s, view.Writes{Remove: []view.Member{{Set: key, Value: "c"}, {Set: key, Value: "none"}}, Add: []view.Member{{Set: key, Value: "a"}}})
	got, err := s.Range(t.Context(), key, view.Range{Limit: 10})
	if diff := cmp.Diff([]string{"a", "b", "d", "e"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if got, err := s.Range(t.Context(), "bb:{v00}:set:none", view.Range{Limit: 1}); len(got) != 0 || err != nil {
		t.Errorf("a set that is not there: %v, %v", got, err)
	}
}

func testExpiry(t *testing.T, h Harness) {
	s := h.Open(t)
	commit(t, s, view.Writes{Put: []view.Pair{{Key: "bb:{v00}:short", Value: []byte("1"), TTL: 50 * time.Millisecond}, {Key: "bb:{v00}:long", Value: []byte("1"), TTL: time.Hour}}})
	h.Advance(t, 60*time.Millisecond)
	got, err := s.Get(t.Context(), "bb:{v00}:short", "bb:{v00}:long")
	if err != nil || got[0] != nil || got[1] == nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func testDrop(t *testing.T, h Harness) {
	s := h.Open(t)
	var w view.Writes
	for i := range 3000 {
		w.Put = append(w.Put, view.Pair{Key: fmt.Sprintf("bb:{v00}:k%d", i), Value: []byte("1")})
	}
	w.Add = []view.Member{{Set: "bb:{v00}:s", Value: "m"}}
	commit(t, s, w)
	if err := s.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), "bb:{v00}:k0", "bb:{v00}:k2999")
	if err != nil || got[0] != nil || got[1] != nil {
		t.Errorf("after Drop: %q, %v", got, err)
	}
	if m, err := s.Range(t.Context(), "bb:{v00}:s", view.Range{Limit: 1}); len(m) != 0 || err != nil {
		t.Errorf("after Drop: %q, %v", m, err)
	}
}

func testChanged(t *testing.T, h Harness) {
	s := h.Open(t)
	done := make(chan error, 1)
	go func() { done <- s.Changed(t.Context(), "bb:{v00}:k", nil) }()
	commit(t, s, view.Writes{Put: []view.Pair{{Key: "bb:{v00}:k", Value: []byte("1")}}})
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Changed did not return")
	}
	if err := s.Changed(t.Context(), "bb:{v00}:k", []byte("0")); err != nil {
		t.Errorf("a value that is not the one seen: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for {
		if err := s.Changed(ctx, "bb:{v00}:k", []byte("1")); err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("at the end of ctx: %v", err)
			}
			return
		}
	}
}
