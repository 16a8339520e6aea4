package delivery

import (
	"math"
	"time"
)

// trickle is the rate of a sink that has given no permission (events.md 7.6).
const trickle = 6

// bucket lets at most so many requests pass in any 60 s, a tenth of them at once (events.md 7.10). What may pass at once
// is not refilled on top: with a full bucket at the start of a minute, that minute has perMinute requests and no more.
type bucket struct {
	perMinute float64
	burst     float64 // whole
	refill    float64 // a minute
	tokens    float64
	at        time.Time // when tokens was right
}

// set changes the rate; what has been saved up stays, as far as the new burst allows.
func (b *bucket) set(perMinute float64, now time.Time) {
	if b.perMinute == perMinute {
		return
	}
	b.fill(now)
	fresh := b.perMinute == 0
	b.perMinute, b.burst = perMinute, max(1, math.Floor(perMinute/10))
	b.refill = perMinute - b.burst + 1 // the last of them comes with the next minute
	if b.tokens = min(b.tokens, b.burst); fresh {
		b.tokens = b.burst
	}
}

func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 && b.perMinute > 0 {
		b.tokens = min(b.burst, b.tokens+passed.Minutes()*b.refill)
	}
	b.at = now
}

// next is when one request may pass: now at the earliest.
func (b *bucket) next(now time.Time) time.Time {
	b.fill(now)
	const nearly = 1 - 1e-12
	if b.tokens >= nearly {
		return now
	}
	return now.Add(time.Duration((1-b.tokens)/b.refill*float64(time.Minute)) + time.Nanosecond)
}

func (b *bucket) take() { b.tokens-- }
