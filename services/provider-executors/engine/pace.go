package engine

import (
	"io"
	"os"
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

	mu                        sync.Mutex
	phase                     string
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
func (w *paced) Pass(from *os.File, look func([]byte) error) (int64, error) {
	n, err := tool.PassTo(w.Writer, from, look)
	w.pace.moved(n)
	return n, err
}

// alive says that the work goes on in the phase where it is.
func (p *pace) alive() {
	p.mu.Lock()
	p.beats++
	phase, due := p.phase, p.now().Sub(p.told) >= beatEvery
	p.mu.Unlock()
	if due {
		p.tell(phase)
	}
}

// beat is alive, told at once.
func (p *pace) beat() {
	p.mu.Lock()
	p.beats++
	phase := p.phase
	p.mu.Unlock()
	p.tell(phase)
}

func (p *pace) tell(phase string) {
	p.mu.Lock()
	p.phase, p.shown, p.told = phase, p.done, p.now()
	total := p.total
	if total > 0 { // a guess that was too low must not promise more than everything
		total = max(total, p.done)
	}
	now := executor.Progress{Phase: phase, BytesDone: p.done, BytesTotal: total, Beats: p.beats}
	p.mu.Unlock()
	p.report(now)
}
