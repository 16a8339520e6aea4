package engine

import "time"

// lifeEvery is how often a query that runs counts as a sign of life. The shortest StallAfter that makes sense is
// a multiple of it, of the time between two looks at a program (package tool) and of PollEvery together.
const lifeEvery = time.Second

// Living calls alive from now on until the returned function is called. One query may read a large table for
// hours, and nothing is said before its end. So whether it makes progress is not known: the attempt's deadline bounds
// it, and what the engine sets for locks and connections. For a program, tool.Command.Working knows more.
func Living(alive func()) (stop func()) {
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
