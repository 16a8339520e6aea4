package view

import (
	"bytes"
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/tidwall/btree"
)

// Memory is the Store of a single process: maps and btrees, filled from the log at every start. Progress
// does not expire by itself; it is dropped when it is read too late.
type Memory struct {
	now func() time.Time

	mu      sync.RWMutex
	values  map[string]value
	sets    map[string]*btree.BTreeG[string]
	changed chan struct{} // closed and replaced by every Commit
}

type value struct {
	data    []byte
	expires time.Time
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, values: map[string]value{}, sets: map[string]*btree.BTreeG[string]{}, changed: make(chan struct{})}
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, keys ...string) ([][]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = m.get(k)
	}
	return out, nil
}

func (m *Memory) get(key string) []byte {
	v, ok := m.values[key]
	if !ok || !v.expires.IsZero() && !m.now().Before(v.expires) {
		return nil
	}
	return v.data
}

// Range implements Store.
func (m *Memory) Range(_ context.Context, set string, r Range) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	t := m.sets[set]
	if t == nil || r.Limit <= 0 {
		return nil, nil
	}
	var out []string
	if r.Reverse {
		visit := func(s string) bool {
			switch {
			case s == r.Before:
				return true
			case r.After != "" && s <= r.After:
				return false
			}
			out = append(out, s)
			return len(out) < r.Limit
		}
		if r.Before == "" {
			t.Reverse(visit)
		} else {
			t.Descend(r.Before, visit)
		}
		return out, nil
	}
	t.Ascend(r.After, func(s string) bool {
		switch {
		case r.After != "" && s == r.After:
			return true
		case r.Before != "" && s >= r.Before:
			return false
		}
		out = append(out, s)
		return len(out) < r.Limit
	})
	return out, nil
}

// Page implements Store.
func (m *Memory) Page(_ context.Context, sets []string, after, before string, offset, limit int) (members []string, total int, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var a, b run
	a = runOf(m.sets[sets[0]], after, before)
	if len(sets) > 1 {
		b = runOf(m.sets[sets[1]], after, before)
	}
	total = a.n + b.n
	if limit = min(limit, total-offset); limit <= 0 {
		return nil, total, nil
	}
	// How many of those before the page are of a: its next one comes after the last that b gives.
	low, high := max(0, offset-b.n), min(offset, a.n)
	k := low + sort.Search(high-low, func(i int) bool { return a.at(low+i) > b.at(offset-low-i-1) })
	members = append(a.some(k, limit), b.some(offset-k, limit)...)
	slices.Sort(members)
	return members[:limit], total, nil
}

// run are the members of a set between two bounds, by rank: the tree counts its branches.
type run struct {
	t       *btree.BTreeG[string]
	from, n int
}

func runOf(t *btree.BTreeG[string], after, before string) run {
	if t == nil {
		return run{}
	}
	r := run{t: t, n: t.Len()}
	if before != "" {
		r.n = sort.Search(r.n, func(i int) bool { return r.at(i) >= before })
	}
	if after != "" {
		r.from = sort.Search(r.n, func(i int) bool { return r.at(i) > after })
		r.n -= r.from
	}
	return r
}

func (r run) at(i int) string {
	s, _ := r.t.GetAt(r.from + i)
	return s
}

func (r run) some(i, limit int) (members []string) {
	if limit = min(limit, r.n-i); limit <= 0 {
		return nil
	}
	r.t.Ascend(r.at(i), func(s string) bool {
		members = append(members, s)
		return len(members) < limit
	})
	return members
}

// Commit implements Store.
func (m *Memory) Commit(_ context.Context, w Writes) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range w.Delete {
		delete(m.values, k)
	}
	for _, x := range w.Remove {
		if t := m.sets[x.Set]; t != nil {
			t.Delete(x.Value)
			if t.Len() == 0 {
				delete(m.sets, x.Set)
			}
		}
	}
	for _, p := range w.Put {
		v := value{data: bytes.Clone(p.Value)}
		if p.TTL > 0 {
			v.expires = m.now().Add(p.TTL)
		}
		m.values[p.Key] = v
	}
	for _, x := range w.Add {
		t := m.sets[x.Set]
		if t == nil {
			t = btree.NewBTreeGOptions(func(a, b string) bool { return a < b }, btree.Options{NoLocks: true})
			m.sets[x.Set] = t
		}
		t.Set(x.Value)
	}
	close(m.changed)
	m.changed = make(chan struct{})
	return nil
}

// Drop implements Store.
func (m *Memory) Drop(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.values)
	clear(m.sets)
	return nil
}

// Changed implements Store.
func (m *Memory) Changed(ctx context.Context, key string, seen []byte) error {
	m.mu.RLock()
	wait := m.changed
	same := slices.Equal(m.get(key), seen)
	m.mu.RUnlock()
	if !same {
		return nil
	}
	select {
	case <-wait:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements Store; there is nothing to close.
func (m *Memory) Close() error { return nil }
