package postgres

import "time"

// lifeEvery is how often a query that runs counts as a sign of life. The shortest StallAfter that makes sense is
// a multiple of it.
const lifeEvery = time.Second

// living calls alive from now on until the returned function is called. One query may read a large table for
// hours, and the server says nothing before its end. So whether it makes progress is not known: it is bounded by
// LockWait while it waits for a lock, by TCP keep-alive if the server is gone, and else by the attempt's deadline alone.
func living(alive func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(lifeEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				alive()
			case <-done:
				return
			}
		}
	}()
	alive()
	return func() {
		close(done)
		<-ended
		alive()
	}
}
