package engine

import (
	"io"
	"sync"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

const (
	reportEvery = 1 << 20               // bytes between two reports of progress
	beatEvery   = 50 * time.Millisecond // time between two reports of work without bytes
)

// pace counts what has come from the tool, or goes to it, and tells. Safe for concurrent use.
type pace struct {
	report func(executor.Progress)
	now    func() time.Time

	order                     sync.Mutex // what is told last is what stands; taken before mu
	mu                        sync.Mutex
	phase                     string
	unseen                    bool // the work is elsewhere
	done, total, shown, beats int64
	told                      time.Time
}

// expect adds to what there will be.
func (p *pace) expect(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += bytes
}

// moved counts bytes of the phase COPYING.
func (p *pace) moved(n int64) {
	p.mu.Lock()
	p.done += n
	due := p.done-p.shown >= reportEvery
	p.mu.Unlock()
	if due {
		p.tell(events.Copying)
	}
}

// counting is to, with what it took counted.
func (p *pace) counting(to io.Writer) io.Writer { return &paced{to, p} }

type paced struct {
	io.Writer
	pace *pace
}

func (w *paced) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.pace.moved(int64(n))
	return n, err
}

// Pass implements tool.Passer.
func (w *paced) Pass(from *tool.Output, look func([]byte) error) (int64, error) {
	n, err := tool.PassTo(w.Writer, from, look)
	w.pace.moved(n)
	return n, err
}

// alive says that the work goes on in the phase where it is.
func (p *pace) alive() {
	p.mu.Lock()
	p.beats++
	due := p.now().Sub(p.told) >= beatEvery
	p.mu.Unlock()
	if due {
		p.again()
	}
}

// beat is alive, told at once.
func (p *pace) beat() {
	p.mu.Lock()
	p.beats++
	p.mu.Unlock()
	p.again()
}

// tell says that the work is in this phase.
func (p *pace) tell(phase string) { p.in(phase, false) }

// elsewhere says that the server of a restore is at work, of which nothing is seen from here: before the first byte
// is read, between two objects, or after the last.
func (p *pace) elsewhere() {
	p.mu.Lock()
	phase := p.phase
	if p.done > 0 && p.done >= p.total {
		phase = events.Finalizing
	}
	p.mu.Unlock()
	p.in(phase, true)
}

func (p *pace) in(phase string, unseen bool) {
	p.mu.Lock()
	p.phase, p.unseen = phase, unseen
	p.mu.Unlock()
	p.again()
}

// again tells how it stands.
func (p *pace) again() {
	p.order.Lock()
	defer p.order.Unlock()
	p.mu.Lock()
	p.shown, p.told = p.done, p.now()
	total := p.total
	if total > 0 { // a guess that was too low must not promise more than everything
		total = max(total, p.done)
	}
	now := executor.Progress{Phase: p.phase, BytesDone: p.done, BytesTotal: total, Beats: p.beats, Unseen: p.unseen}
	p.mu.Unlock()
	p.report(now)
}
