package delivery

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// one passes as soon as it may, and when that is.
func (b *bucket) one(now time.Time) time.Time {
	for at := b.next(now); at.After(now); at = b.next(now) {
		now = at
	}
	b.take()
	return now
}

// most is how many there are in the fullest 60 s; the times are in order.
func most(times []time.Time) int {
	n, first := 0, 0
	for i, at := range times {
		for at.Sub(times[first]) >= time.Minute {
			first++
		}
		n = max(n, i-first+1)
	}
	return n
}

// W11 for every rate: whoever sends as soon as it may has a burst of a tenth, never more than the rate in any 60 s, and
// the rate in the first.
func TestBucket_AtMostTheRateInAnyMinute(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{1, 2, 3, 6, 7, 10, 15, 19, 20, 29, 30, 59, 60, 599, 600, 6001, 60_000} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			t.Parallel()
			var b bucket
			b.set(float64(rate), noon)
			var times []time.Time
			for now := b.one(noon); now.Sub(noon) < 3*time.Minute; now = b.one(now) {
				times = append(times, now)
			}
			atOnce, first := 0, 0
			for _, at := range times {
				if at.Equal(noon) {
					atOnce++
				}
				if at.Sub(noon) < time.Minute {
					first++
				}
			}
			if want := max(1, rate/10); atOnce != want {
				t.Errorf("%d at once, want %d", atOnce, want)
			}
			if n := most(times); n != rate || first != rate {
				t.Errorf("%d in the fullest 60 s, %d in the first", n, first)
			}
			if n := len(times); n < 27*rate/10 {
				t.Errorf("%d in three minutes", n)
			}
		})
	}
}

// Whoever sends now and then saves up the burst, and no more than that.
func TestBucket_AfterPausesToo(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		rate := 1 + random.IntN(300)
		var b bucket
		now := noon
		b.set(float64(rate), now)
		var times []time.Time
		for range 20 {
			now = now.Add(time.Duration(random.Int64N(int64(90 * time.Second))))
			for range 1 + random.IntN(2*rate) {
				now = b.one(now)
				times = append(times, now)
			}
		}
		if n := most(times); n > rate {
			t.Errorf("rate %d, seed %d: %d in 60 s", rate, seed, n)
		}
	}
}
