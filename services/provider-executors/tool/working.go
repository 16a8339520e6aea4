package tool

import "time"

// lookEvery is the time between two looks at what a program uses.
const lookEvery = 2 * time.Second

// What a program that waits may use between two looks: servers have clocks of their own. Of idle ones MySQL 9.7 takes 2
// to 4 ticks and up to 8 on a busy machine, MariaDB and PostgreSQL none or one; each writes a page at times. A tenth of a
// core is far below what a server takes to load rows, even on a disk that is slow: that one moves more bytes.
const (
	idleTicks = 20
	idleBytes = 64 << 10
)

// works tells from two looks whether a program was at work between them. Where nothing is known it is taken for
// one that works.
func (before usage) works(now usage) bool {
	if !before.known || !now.known || now.ticks < before.ticks || now.bytes < before.bytes {
		return true
	}
	return now.ticks-before.ticks > idleTicks || now.bytes-before.bytes > idleBytes
}

// Watch looks at a program and all that it has started, and tells after each look whether they were at work since the
// last, until ended or it is gone.
func Watch(pid int, ended <-chan struct{}, tell func(worked bool)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := usageOf(pid)
	for {
		select {
		case <-tick.C:
		case <-ended:
			return
		}
		now := usageOf(pid)
		if last.known && !now.known { // it has ended
			return
		}
		tell(last.works(now))
		last = now
	}
}
