package tool

import "time"

// lookEvery is the time between two looks at what a program uses.
const lookEvery = 2 * time.Second

// idleTicks is what a program that waits may use of the CPU between two looks: servers have a clock of their own.
const idleTicks = 2

// works tells from two looks whether a program was at work between them. Where nothing is known it is taken for
// one that works.
func (before usage) works(now usage) bool {
	if !before.known || !now.known {
		return true
	}
	return now.bytes != before.bytes || now.ticks < before.ticks || now.ticks-before.ticks > idleTicks
}

// watchWork calls working after each time in which the program was at work, until ended.
func watchWork(pid int, every time.Duration, ended <-chan struct{}, working func()) {
	tick := time.NewTicker(every)
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
		if last.works(now) {
			working()
		}
		last = now
	}
}
