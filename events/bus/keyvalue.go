package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Buckets of the notifier.
const (
	SubscriptionBucket  = "BACKUP_SUBSCRIPTIONS"  // subscriptions, each sealed
	NotifierStateBucket = "BACKUP_NOTIFIER_STATE" // who is active, and how far it is
)

// ErrConflict is returned for a write whose expectation does not hold: somebody wrote in between. Nothing
// was stored.
var ErrConflict = errors.New("was changed by somebody else")

// KeyValue keeps one value per key, changed by compare-and-set on its revision. Keys are ASCII letters, digits
// and any of - _ = . and /. Safe for concurrent use.
type KeyValue struct {
	bus    *Bus
	bucket string
	kv     jetstream.KeyValue
}

// Entry is a value with its revision.
type Entry struct {
	Key      string
	Value    []byte // nil: deleted
	Revision uint64
}

// bucketStream and keyRoot are where the server keeps a bucket: its stream, and what its keys' subjects begin with.
func bucketStream(bucket string) string { return "KV_" + bucket }
func keyRoot(bucket string) string      { return "$KV." + bucket + "." }

// KeyValue opens a bucket that Provision made.
func (b *Bus) KeyValue(ctx context.Context, bucket string) (*KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	kv, err := b.js.KeyValue(ctx, bucket)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", bucket, b.answer(ctx, err))
	}
	return &KeyValue{b, bucket, kv}, nil
}

// Get reads a value; false if there is none.
func (k *KeyValue) Get(ctx context.Context, key string) (Entry, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	e, err := k.kv.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return Entry{}, false, nil
	case err != nil:
		return Entry{}, false, fmt.Errorf("read %s of %s: %w", key, k.bucket, k.bus.answer(ctx, err))
	}
	return Entry{key, e.Value(), e.Revision()}, true, nil
}

// Put stores a value if the key still has that revision, 0 for one that is not there, and returns the new
// revision. ErrConflict means that it has another. After ErrUnavailable it may be stored: read it.
func (k *KeyValue) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	put := func() (uint64, error) { return k.kv.Update(ctx, key, value, revision) }
	if revision == 0 {
		put = func() (uint64, error) { return k.kv.Create(ctx, key, value) }
	}
	n, err := put()
	return n, k.written(ctx, key, err)
}

// PutAfter stores a value if nothing of the whole bucket was written after the revision last. ErrConflict means that
// something was: Last, and another look at what that decides, come before the next try.
func (k *KeyValue) PutAfter(ctx context.Context, key string, value []byte, last uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ack, err := k.bus.js.Publish(ctx, keyRoot(k.bucket)+key, value, jetstream.WithExpectLastSequence(last))
	if err != nil {
		return 0, k.written(ctx, key, err)
	}
	return ack.Sequence, nil
}

// Last is the revision of the newest write of the whole bucket, 0 if there was none.
func (k *KeyValue) Last(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	s, err := k.bus.js.Stream(ctx, bucketStream(k.bucket))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", k.bucket, k.bus.answer(ctx, err))
	}
	return s.CachedInfo().State.LastSeq, nil
}

// Delete removes a value of that revision, its history too.
func (k *KeyValue) Delete(ctx context.Context, key string, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	return k.written(ctx, key, k.kv.Purge(ctx, key, jetstream.LastRevision(revision)))
}

func (k *KeyValue) written(ctx context.Context, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case wrongSequence(err), errors.Is(err, jetstream.ErrKeyExists):
		return fmt.Errorf("write %s of %s: %w", key, k.bucket, ErrConflict)
	}
	return fmt.Errorf("write %s of %s: %w", key, k.bucket, k.bus.answer(ctx, err))
}

// Watch calls fn for every value there is, then calls ready, once, then fn for every change, until ctx ends.
// A value may come twice, and one that was overwritten quickly not at all. It survives reconnects.
func (k *KeyValue) Watch(ctx context.Context, ready func(), fn func(Entry)) error {
	for {
		err := k.watch(ctx, &ready, fn)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		k.bus.log.WarnContext(ctx, "watch interrupted", "bucket", k.bucket, "error", err)
		if !pause(ctx, time.Second) {
			return ctx.Err()
		}
	}
}

func (k *KeyValue) watch(ctx context.Context, ready *func(), fn func(Entry)) error {
	w, err := k.kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, open := <-w.Updates():
			switch {
			case !open:
				return errors.New("the server ended it")
			case e == nil: // all there is has been seen
				if *ready != nil {
					(*ready)()
					*ready = nil
				}
			case e.Operation() == jetstream.KeyValuePut:
				fn(Entry{e.Key(), e.Value(), e.Revision()})
			default:
				fn(Entry{Key: e.Key(), Revision: e.Revision()})
			}
		}
	}
}

// Acked is the stream sequence up to which a durable has everything acknowledged.
func (b *Bus) Acked(ctx context.Context, durable string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	stream, _ := StreamOf(durable)
	c, err := b.js.Consumer(ctx, stream, durable)
	if err != nil {
		return 0, fmt.Errorf("state of durable %s: %w", durable, b.answer(ctx, err))
	}
	return c.CachedInfo().AckFloor.Stream, nil
}
