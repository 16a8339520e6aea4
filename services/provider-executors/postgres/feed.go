package postgres

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// feed unpacks an object into the input of a tool. Nil means that the tool ended well and that the object
// is whole to its last byte, those included that the tool did not want. first sees the bytes on their way.
// An object that is damaged counts for more than what the tool said of it.
func feed(ctx context.Context, c engine.Copy, o archive.Object, first io.Writer, cmd tool.Command) error {
	return pump(ctx, c, o, first, cmd, true)
}

// feedStart is feed for a tool that wants the beginning alone: the rest is not read.
func feedStart(ctx context.Context, c engine.Copy, o archive.Object, cmd tool.Command) error {
	return pump(ctx, c, o, io.Discard, cmd, false)
}

func pump(ctx context.Context, c engine.Copy, o archive.Object, first io.Writer, cmd tool.Command, whole bool) error {
	r, w, err := os.Pipe()
	if err != nil {
		return internal("the executor could not make a pipe: see whether it has too many files open")
	}
	tool.WidenPipe(w)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	unpacked := make(chan error, 1)
	go func() {
		err := c.Unpack(reading, o, io.MultiWriter(first, &patient{to: w}))
		_ = w.Close()
		unpacked <- err
	}()
	cmd.Stdin = r
	_, ran := tool.Run(ctx, cmd)
	_ = r.Close()
	if ran != nil || !whole {
		stop()
	}
	damage := <-unpacked
	if ran == nil && !whole {
		return ctx.Err()
	}
	if isFailure(damage) || ran == nil {
		return damage
	}
	return ran
}

// patient throws away what comes after its reader has gone.
type patient struct {
	to   io.Writer
	gone bool
}

func (p *patient) Write(b []byte) (int, error) {
	if p.gone {
		return len(b), nil
	}
	n, err := p.to.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		p.gone = true
		return len(b), nil
	}
	return n, err
}
