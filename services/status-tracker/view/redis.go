package view

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis is the Store for production: standalone, Sentinel or Cluster, Redis 7.0 or later or Valkey. One
// Commit is one MULTI; in a Cluster one MULTI per slot, which is one per shard.
type Redis struct{ c redis.UniversalClient }

var _ Store = (*Redis)(nil)

// NewRedis uses a client that the caller opened and closes.
func NewRedis(c redis.UniversalClient) *Redis { return &Redis{c} }

// Get implements Store by one MGET; in a Cluster, where keys of several shards lie apart, by a pipeline of GETs.
func (r *Redis) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	out := make([][]byte, len(keys))
	if len(keys) == 0 {
		return out, nil
	}
	if _, cluster := r.c.(*redis.ClusterClient); cluster {
		cmds, err := r.c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, k := range keys {
				p.Get(ctx, k)
			}
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("read view: %w", err)
		}
		for i, c := range cmds {
			if b, err := c.(*redis.StringCmd).Bytes(); err == nil {
				out[i] = b
			} else if !errors.Is(err, redis.Nil) {
				return nil, fmt.Errorf("read view: %w", err)
			}
		}
		return out, nil
	}
	vals, err := r.c.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, fmt.Errorf("read view: %w", err)
	}
	for i, v := range vals {
		if s, ok := v.(string); ok {
			out[i] = []byte(s)
		}
	}
	return out, nil
}

// Range implements Store by ZRANGE BYLEX: every member has score 0, so byte order is the only order.
func (r *Redis) Range(ctx context.Context, set string, q Range) ([]string, error) {
	if q.Limit <= 0 {
		return nil, nil
	}
	low, high := "-", "+"
	if q.After != "" {
		low = "(" + q.After
	}
	if q.Before != "" {
		high = "(" + q.Before
	}
	args := redis.ZRangeArgs{Key: set, Start: low, Stop: high, ByLex: true, Count: int64(q.Limit)}
	if q.Reverse {
		args.Rev, args.Start, args.Stop = true, high, low
	}
	out, err := r.c.ZRangeArgs(ctx, args).Result()
	if err != nil {
		return nil, fmt.Errorf("read view: %w", err)
	}
	return out, nil
}

// pageScript reads a page and the total of a part of one set or two: several commands between which a write would shift
// the ranks. What it finds in each set is merged by the caller.
//
//	KEYS    the sets
//	ARGV    the bounds as ZLEXCOUNT has them, offset, limit, and the last member before the part (or "")
//	returns {total, members, members}
var pageScript = redis.NewScript(`
local function count(key) return key and redis.call('ZLEXCOUNT', key, ARGV[1], ARGV[2]) or 0 end
local function first(key)
  if not key or ARGV[5] == '' then return 0 end
  return redis.call('ZLEXCOUNT', key, '-', '[' .. ARGV[5])
end
local function less(a, b) -- by bytes: Lua's own order is the locale's
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end
local A, B = KEYS[1], KEYS[2]
local a, b, offset, limit = count(A), count(B), tonumber(ARGV[3]), tonumber(ARGV[4])
local total = a + b
limit = math.min(limit, total - offset)
if limit <= 0 then return {total, {}, {}} end
local fa, fb = first(A), first(B)
local low, high = math.max(0, offset - b), math.min(offset, a)
while low < high do -- how many of those before the page are of A
  local k = math.floor((low + high) / 2)
  local x = redis.call('ZRANGE', A, fa + k, fa + k)[1]
  local y = redis.call('ZRANGE', B, fb + offset - k - 1, fb + offset - k - 1)[1]
  if less(y, x) then high = k else low = k + 1 end
end
local function some(key, from, n)
  n = math.min(n, limit)
  if n <= 0 then return {} end
  return redis.call('ZRANGE', key, from, from + n - 1)
end
return {total, some(A, fa + low, a - low), some(B, fb + offset - low, b - (offset - low))}`)

// Page implements Store by a script: ZLEXCOUNT, and ZRANGE with indexes.
func (r *Redis) Page(ctx context.Context, sets []string, after, before string, offset, limit int) (members []string, total int, err error) {
	low, high := "-", "+"
	if after != "" {
		low = "(" + after
	}
	if before != "" {
		high = "(" + before
	}
	got, err := pageScript.Run(ctx, r.c, sets, low, high, offset, limit, after).Slice()
	if err != nil {
		return nil, 0, fmt.Errorf("read view: %w", err)
	}
	for _, list := range got[1:] {
		some, _ := list.([]any)
		for _, m := range some {
			s, _ := m.(string)
			members = append(members, s)
		}
	}
	n, _ := got[0].(int64)
	slices.Sort(members)
	return members[:min(max(limit, 0), len(members))], int(n), nil
}

// Commit implements Store by one MULTI.
func (r *Redis) Commit(ctx context.Context, w Writes) error {
	_, err := r.c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range w.Delete {
			p.Del(ctx, k)
		}
		for _, x := range w.Remove {
			p.ZRem(ctx, x.Set, x.Value)
		}
		for _, x := range w.Put {
			p.Set(ctx, x.Key, x.Value, x.TTL)
		}
		for _, x := range w.Add {
			p.ZAdd(ctx, x.Set, redis.Z{Member: x.Value})
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("write view: %w", err)
	}
	return nil
}

// Drop implements Store: it deletes the view's keys and no others, on every master of a Cluster.
func (r *Redis) Drop(ctx context.Context) error {
	if cluster, ok := r.c.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return dropKeys(ctx, c) })
	}
	return dropKeys(ctx, r.c)
}

func dropKeys(ctx context.Context, c redis.Cmdable) error {
	it := c.Scan(ctx, 0, "bb:{v*", 1000).Iterator()
	for it.Next(ctx) {
		if err := c.Unlink(ctx, it.Val()).Err(); err != nil {
			return fmt.Errorf("drop view: %w", err)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("drop view: %w", err)
	}
	return nil
}

// Changed implements Store by asking again, 1 ms after the first time, 25 ms after later ones: the
// writer is another process, and a wait is over after few milliseconds.
func (r *Redis) Changed(ctx context.Context, key string, seen []byte) error {
	for pause := time.Millisecond; ; pause = min(pause*2, 25*time.Millisecond) {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		v, err := r.c.Get(ctx, key).Bytes()
		if err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("read view: %w", err)
		}
		if string(v) != string(seen) {
			return nil
		}
	}
}

// Close implements Store; the client is its opener's.
func (r *Redis) Close() error { return nil }
