package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"filippo.io/age"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
)

// The stages between a tool and the storage, as manifests name them.
const (
	Zstd = "zstd"
	Age  = "age"
)

// Compression says how objects are compressed; the format is zstd whatever it says.
type Compression struct {
	Program string // path of the zstd program: less work for the same bytes, and a process more. Empty: built in
	Level   int    // 1 to 19 as the zstd program counts; 0: 3, built in 1, where more than 9 are 9
	Threads int    // 0: 2; built in at most as many as there are CPUs
}

// builtinLevel costs about what level 3 of the program does, for a twentieth more bytes at most (`make bench-data`).
const builtinLevel = 1

func (c Compression) withDefaults() Compression {
	switch {
	case c.Level != 0:
	case c.Program == "":
		c.Level = builtinLevel
	default:
		c.Level = 3
	}
	if c.Threads == 0 {
		c.Threads = 2
	}
	return c
}

// maxCompressionLevel is where the zstd program's memory stays within bounds and any decoder's too.
const maxCompressionLevel = 19

// packer is the compressor and, behind it, the encryption.
type packer struct {
	io.Writer
	closers []io.Closer // in the order of the stream
	stop    func()      // ends what still runs; harmless afterwards
	why     func() error
}

// Close flushes every stage.
func (p *packer) Close() error {
	for _, c := range p.closers {
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) abort() { p.stop() }

// reason is what a stage says of its own end, if the error of produce is only that this stage was gone.
func (p *packer) reason(err error) error {
	var gone *goneError
	if p.why == nil || !errors.As(err, &gone) {
		return err
	}
	if why := p.why(); why != nil {
		return why
	}
	return err
}

func (c *Copy) packer(ctx context.Context, to io.Writer, recipients []string) (*packer, error) {
	var sealed io.Closer
	if len(recipients) > 0 {
		keys, err := Recipients(recipients)
		if err != nil {
			return nil, err
		}
		w, err := age.Encrypt(to, keys...)
		if err != nil {
			return nil, fmt.Errorf("encrypt: %w", err)
		}
		to, sealed = w, w
	}
	p, err := c.at.compression.start(ctx, to)
	if err != nil {
		return nil, err
	}
	if sealed != nil {
		p.closers = append(p.closers, sealed)
	}
	return p, nil
}

func (z Compression) start(ctx context.Context, to io.Writer) (*packer, error) {
	if z.Program != "" {
		return z.child(ctx, to)
	}
	f, err := newFrames(to, z.Level, z.Threads)
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	return &packer{Writer: f, closers: []io.Closer{f}, stop: f.abort}, nil
}

const pipeBuffer = 256 << 10

// child compresses in the zstd program.
func (z Compression) child(ctx context.Context, to io.Writer) (*packer, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	in := newPipeTo(w)
	c := &child{in: in, pipe: w, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		_, c.err = tool.Run(ctx, tool.Command{
			Path: z.Program, Args: []string{"-q", "-c", "-" + strconv.Itoa(z.Level), "-T" + strconv.Itoa(z.Threads)},
			Stdin: r, Stdout: to,
		})
	}()
	return &packer{Writer: in, closers: []io.Closer{c}, stop: c.abort, why: c.died}, nil
}

// pipeTo is the pipe to the program. That it broke is told from the broken pipes of whoever produces.
type pipeTo struct {
	*bufio.Writer // a page of SQLite is a few kilobytes: written one by one, each would be a switch between processes
	pipe          *tool.Pipe
}

func newPipeTo(f *os.File) *pipeTo {
	p := tool.WritePipe(f)
	return &pipeTo{bufio.NewWriterSize(toldGone{p}, pipeBuffer), p}
}

// Pass implements tool.Passer.
func (p *pipeTo) Pass(from *tool.Output, look func([]byte) error) (int64, error) {
	if err := p.Flush(); err != nil {
		return 0, err
	}
	n, err := p.pipe.Pass(from, look)
	return n, gone(err)
}

type toldGone struct{ io.Writer }

func (w toldGone) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	return n, gone(err)
}

func gone(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return &goneError{err}
	}
	return err
}

// goneError says that the program does not read any more.
type goneError struct{ error }

func (e *goneError) Unwrap() error { return e.error }

// child is a running zstd.
type child struct {
	in     *pipeTo
	pipe   *os.File
	cancel context.CancelFunc
	done   chan struct{}
	err    error // when done
}

// Close ends the input and waits for the output.
func (c *child) Close() error {
	err := c.in.Flush()
	err = errors.Join(err, c.pipe.Close())
	<-c.done
	c.cancel()
	if c.err != nil {
		return c.failure()
	}
	return err
}

func (c *child) abort() {
	c.cancel()
	_ = c.pipe.Close()
	<-c.done
}

// died tells why zstd ended before its input did. The storage's errors arrive here too: they are what its
// output met.
func (c *child) died() error {
	<-c.done
	return c.failure()
}

func (c *child) failure() error {
	var exit *tool.ExitError
	if errors.As(c.err, &exit) {
		return fmt.Errorf("%w: %w", &events.Failure{Code: events.Internal, Category: events.BySystem, Retryable: true,
			Message: "the compressor stopped before its work was done: see whether the executor's machine is short of memory"}, c.err)
	}
	return c.err
}

// Recipients reads age recipients: `age1…`. The error is an events.Failure.
func Recipients(names []string) ([]age.Recipient, error) {
	var keys []age.Recipient
	for i, name := range names {
		key, err := age.ParseX25519Recipient(name)
		if err != nil { // the text of err repeats the value, which may be a secret key by mistake
			return nil, rejected("recipient %d of the instance's encryptTo is no age recipient: age-keygen -y prints the one of a key, it begins with age1", i+1)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// decrypt opens an encrypted stream with the identities of the executor.
func (c *Copy) decrypt(from io.Reader) (io.Reader, error) {
	keys, err := c.at.identities()
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, locked("the copy is encrypted and this executor has no identity: name an age identity file in its setting identities")
	}
	plain, err := age.Decrypt(from, keys...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, fmt.Errorf("%w: %w", locked("the copy is encrypted to other keys than this executor has: add the identity of one of its recipients to the executor's setting identities"), err)
	}
	return plain, err
}

// CanOpen tells whether what is encrypted to the recipients can be read back here.
func (s *Storages) CanOpen(recipients []string) (bool, error) {
	keys, err := Recipients(recipients)
	if err != nil || len(keys) == 0 {
		return err == nil, err
	}
	ids, err := s.identities()
	if err != nil {
		return false, err
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, keys...)
	if err == nil {
		err = w.Close()
	}
	if err != nil || len(ids) == 0 {
		return false, err
	}
	_, err = age.Decrypt(&sealed, ids...)
	return err == nil, nil
}

func locked(message string) *events.Failure {
	return &events.Failure{Code: events.PermissionDenied, Category: events.BySystem, Message: message}
}
