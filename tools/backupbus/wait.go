package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// waiting is what --wait and --timeout say.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func (w *waiting) flags(c *cobra.Command) {
	c.Flags().BoolVarP(&w.wait, "wait", "w", false, "wait for the end; the exit code tells how it ended")
	c.Flags().DurationVar(&w.timeout, "timeout", 24*time.Hour, "with --wait: give up waiting (the work goes on), exit code 3")
}

// askEvery is how often the state is read while waiting.
const askEvery = 200 * time.Millisecond

// until reads path until ended says so, and shows progress on a terminal. A server that is away for a
// moment is asked again.
func (w waiting) until(cmd *cobra.Command, o *options, path string, ended func(json.RawMessage) (bool, *progress, error)) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(cmd.Context(), w.timeout)
	defer cancel()
	bar := newBar()
	defer bar.done()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		var answer json.RawMessage
		err := o.client().call(ctx, http.MethodGet, path, nil, &answer)
		var api *apiError
		if errors.As(err, &api) && api.Status < 500 {
			return nil, err
		}
		if err == nil {
			end, p, err := ended(answer)
			if err != nil || end {
				return answer, err
			}
			bar.show(p)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if cmd.Context().Err() != nil {
				return nil, errors.New("interrupted; the work goes on")
			}
			return nil, &exit{exitTimeout, fmt.Errorf("no end after %s; the work goes on", w.timeout)}
		}
	}
}

// bar is the live progress on a terminal; elsewhere it shows nothing.
type bar struct {
	live bool
	bar  *progressbar.ProgressBar
}

func newBar() *bar { return &bar{live: term.IsTerminal(int(os.Stderr.Fd()))} }

func (b *bar) show(p *progress) {
	if !b.live || p == nil || p.BytesTotal == nil || p.BytesDone == nil {
		return
	}
	if b.bar == nil {
		b.bar = progressbar.NewOptions64(*p.BytesTotal, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowBytes(true),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
	}
	b.bar.ChangeMax64(*p.BytesTotal) // more may have to be read than was thought at first
	b.bar.Describe(p.Phase)
	_ = b.bar.Set64(*p.BytesDone) // a bar that cannot be drawn is no reason to stop
}

func (b *bar) done() {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
}
