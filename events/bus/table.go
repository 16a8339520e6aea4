package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// DeliveryLogStream keeps one record per webhook delivery; it is the notifier's own.
const DeliveryLogStream = "BACKUP_DELIVERY_LOG"

// DeliveryLogRoot is the root of the subjects of DeliveryLogStream.
const DeliveryLogRoot = "backupbus.v1.deliverylog"

// maxRow bounds a row: a record with twelve attempts and what was answered to them.
const maxRow = 128 << 10

// Table is a stream that keeps the last message of every subject. A row moves to the end of the stream
// whenever it is written. Safe for concurrent use.
type Table struct {
	bus    *Bus
	stream string
}

// Row is the newest message of a subject.
type Row struct {
	Subject string
	Seq     uint64 // place in the stream: what the next write expects
	Data    []byte
}

// DeliveryLog is the table of DeliveryLogStream.
func (b *Bus) DeliveryLog() *Table { return &Table{b, DeliveryLogStream} }

// Get reads a row; false if there is none.
func (t *Table) Get(ctx context.Context, subject string) (Row, bool, error) {
	m, err := t.bus.lastRaw(ctx, t.stream, subject)
	if err != nil || m == nil {
		return Row{}, false, err
	}
	return Row{m.subject, m.seq, m.data}, true, nil
}

// Put writes rows, each if it still has the sequence that it names, 0 for one that is not there, and returns
// the new sequences and one error or nil for each. ErrConflict means that it has another sequence: nothing
// was stored. A row whose answer was lost is looked up, so that a conflict is never with oneself.
func (t *Table) Put(ctx context.Context, rows ...Row) ([]uint64, []error) {
	seqs, errs := make([]uint64, len(rows)), make([]error, len(rows))
	futures := make([]jetstream.PubAckFuture, len(rows))
	for i, r := range rows {
		futures[i], errs[i] = t.bus.js.PublishMsgAsync(&nats.Msg{Subject: r.Subject, Data: r.Data},
			jetstream.WithExpectLastSequencePerSubject(r.Seq), jetstream.WithStallWait(answerWait))
	}
	for i, f := range futures {
		if errs[i] == nil {
			seqs[i], errs[i] = stored64(ctx, f)
		}
		if errs[i] != nil {
			seqs[i], errs[i] = t.settle(ctx, rows[i], errs[i])
		}
	}
	return seqs, errs
}

// stored64 waits for one PubAck; the client library bounds the wait (Connect).
func stored64(ctx context.Context, f jetstream.PubAckFuture) (uint64, error) {
	select {
	case ack := <-f.Ok():
		return ack.Sequence, nil
	case err := <-f.Err():
		return 0, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// settle finds out what became of a write that was refused or not answered.
func (t *Table) settle(ctx context.Context, r Row, err error) (uint64, error) {
	lost := unreachable(err) || errors.Is(err, jetstream.ErrAsyncPublishTimeout) || errors.Is(err, nats.ErrNoResponders)
	if !lost && !wrongSequence(err) {
		return 0, fmt.Errorf("write to %s: %w", t.stream, err)
	}
	now, there, readErr := t.Get(ctx, r.Subject)
	switch {
	case readErr != nil:
		return 0, fmt.Errorf("write to %s: %w", t.stream, readErr)
	case there && string(now.Data) == string(r.Data) && now.Seq > r.Seq:
		return now.Seq, nil
	case there && now.Seq != r.Seq, !there && r.Seq != 0:
		return 0, fmt.Errorf("write to %s: %w", t.stream, ErrConflict)
	}
	return 0, fmt.Errorf("write to %s: %w", t.stream, ErrUnavailable)
}

// Scan calls fn for every row whose subject matches filter, in the order of their last writes, from the stream
// sequence from on, up to the last one that was written when Scan began; it returns that sequence. fn's error
// ends the scan and is returned. Reconnects are survived.
func (t *Table) Scan(ctx context.Context, filter string, from uint64, fn func(Row) error) (end uint64, err error) {
	info, err := t.bus.streamInfo(ctx, t.stream)
	if err != nil {
		return 0, err
	}
	end, from = info.State.LastSeq, max(from, info.State.FirstSeq, 1)
	if from > end || info.State.Msgs == 0 {
		return end, nil
	}
	r := reader{bus: t.bus, stream: t.stream, filter: filter, next: from, end: end,
		raw: func(subject string, seq uint64, data []byte) error { return fn(Row{subject, seq, data}) }}
	return end, r.run(ctx)
}

// DeliverySubject is the subject of a row of the delivery log, or with "*" for an id, a filter. project is a token.
func DeliverySubject(project, subscriptionID, deliveryID string) string {
	return strings.Join([]string{DeliveryLogRoot, project, subscriptionID, deliveryID}, ".")
}
