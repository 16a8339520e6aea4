package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
)

// compare compares what was loaded with what the source had. Of a copy whose rows were not counted, the set of
// tables is compared with the dump's own list.
func (p *reloading) compare(ctx context.Context, name string, o archive.Object) error {
	c, err := p.server.connect(ctx, name, "backupbus-scratch")
	if err != nil {
		return err
	}
	defer bye(ctx, c)
	want := counted{o.Tables, o.Checksums}
	got, err := rowsLike(ctx, c, want)
	if err != nil {
		return scratchFailure(err, "a table that was loaded from the copy cannot be read: the copy cannot be used")
	}
	if want.rows == nil {
		if err := p.compareList(ctx, c, o); err != nil {
			return err
		}
	} else if n := want.differ(got); n > 0 {
		return corrupt(fmt.Sprintf("%d tables of the copy hold other rows than the source had: the copy cannot be used", n), nil)
	}
	note(&p.loaded, got.rows)
	p.summed += want.both(got)
	p.loaded.Checksums = p.loaded.Tables > 0 && p.summed == p.loaded.Tables
	return nil
}

// rowsLike counts the loaded rows, with sums if there are any to compare them with.
func rowsLike(ctx context.Context, c *pgx.Conn, want counted) (counted, error) {
	if len(want.sums) == 0 {
		rows, err := countRows(ctx, c)
		return counted{rows: rows}, err
	}
	return sumRows(ctx, c) // without a transaction: it would lock every table
}

// differ counts the tables that only one of the two has, or with other rows. Where one has no sum, the number
// of rows decides.
func (c counted) differ(other counted) (n int) {
	for name, rows := range c.rows {
		have, ok := other.rows[name]
		a, summed := c.sums[name]
		b, too := other.sums[name]
		if !ok || have != rows || summed && too && a != b {
			n++
		}
	}
	for name := range other.rows {
		if _, ok := c.rows[name]; !ok {
			n++
		}
	}
	return n
}

// both counts the tables of which both have a sum.
func (c counted) both(other counted) (n int64) {
	for name := range c.sums {
		if _, ok := other.sums[name]; ok {
			n++
		}
	}
	return n
}

// note adds tables and their rows to what a proof has seen.
func note(l *engine.Loaded, rows map[string]int64) {
	for _, n := range rows {
		l.Tables, l.Rows = l.Tables+1, l.Rows+n
	}
}
