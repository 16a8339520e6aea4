package delivery

import "time"

// trickle is the rate of a sink that has given no permission (events.md 7.6).
const trickle = 6

// bucket lets so many requests a minute pass, a tenth of them at once (events.md 7.10).
type bucket struct {
	perMinute float64
	burst     float64
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
	b.perMinute, b.burst = perMinute, max(1, perMinute/10)
	if b.tokens = min(b.tokens, b.burst); fresh {
		b.tokens = b.burst
	}
}

func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 && b.perMinute > 0 {
		b.tokens = min(b.burst, b.tokens+passed.Minutes()*b.perMinute)
	}
	b.at = now
}

// next is when one request may pass: now at the earliest.
func (b *bucket) next(now time.Time) time.Time {
	b.fill(now)
	const nearly = 1 - 1e-9
	if b.tokens >= nearly {
		return now
	}
	return now.Add(time.Duration((1-b.tokens)/b.perMinute*float64(time.Minute)) + time.Nanosecond)
}

func (b *bucket) take() { b.tokens-- }
