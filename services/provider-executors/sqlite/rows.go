package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/backupbus/backupbus/services/provider-executors/engine"
)

// counted are the rows of a database's tables: how many, and the sums of their hashes, the same in every
// order of rows. Without sums they were only counted.
type counted struct {
	rows map[string]int64
	sums map[string]string
}

// readRows reads every table that holds content of its own, once for number and sum; the content of a virtual
// table lies in its shadow tables.
func readRows(ctx context.Context, db *database, sums bool) (counted, error) {
	alive := engine.Alive(ctx)
	names, err := db.strings(ctx, `SELECT name FROM pragma_table_list
		WHERE schema = 'main' AND type IN ('table', 'shadow') ORDER BY name`)
	if err != nil {
		return counted{}, fmt.Errorf("list the tables: %w", err)
	}
	got := counted{rows: make(map[string]int64, len(names))}
	if sums {
		got.sums = make(map[string]string, len(names))
	}
	total := map[string]uint64{}
	for _, name := range names {
		alive()
		// A manifest holds UTF-8. Tables whose names fall together in it count as one.
		told := strings.ToValidUTF8(name, "\uFFFD")
		if !sums {
			stop := engine.Living(alive)
			n, err := db.number(ctx, "SELECT count(*) FROM main."+quote(name))
			if stop(); err != nil {
				return counted{}, err
			}
			got.rows[told] += n
			continue
		}
		n, sum, err := sumRows(ctx, db, name)
		if err != nil {
			return counted{}, fmt.Errorf("read the rows of a table: %w", err)
		}
		got.rows[told] += n
		total[told] += sum
		got.sums[told] = fmt.Sprintf("%016x", total[told])
	}
	return got, nil
}

// sumRows reads the stored values of a table. What a virtual column shows is computed, maybe by a function of
// the application, and is not read. In place of a value that is too large comes a mark, and the row is read as it
// is stored: its bytes are the same in the copy. A mark that is data costs nothing but time.
func sumRows(ctx context.Context, db *database, table string) (n int64, sum uint64, err error) {
	columns, err := db.strings(ctx, "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden <> 2 ORDER BY cid", table)
	if err != nil {
		return 0, 0, err
	}
	stored, err := newRecords(ctx, db)
	if err != nil {
		return 0, 0, err
	}
	defer stored.close()
	rows, err := db.QueryContext(ctx, rowsQuery(table, columns), tooLarge)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	var offset int64
	values, into := make([]any, len(columns)), make([]any, len(columns), len(columns)+1)
	for i := range values {
		into[i] = &values[i]
	}
	into = append(into, &offset)
	alive := engine.Alive(ctx)
	for rows.Next() {
		alive()
		if err := rows.Scan(into...); err != nil {
			return 0, 0, err
		}
		var h xxhash.Digest
		h.Reset()
		large, err := hashRow(&h, values)
		if err != nil {
			return 0, 0, err
		}
		if large {
			if err := stored.write(ctx, offset, &h, alive); err != nil {
				return 0, 0, err
			}
		}
		n, sum = n+1, sum+h.Sum64()
	}
	return n, sum, rows.Err()
}

// What the values of one row may take in memory, and one of them.
const (
	largestRow   = 16 << 20
	largestValue = 1 << 20
)

// tooLarge stands in place of a value.
const tooLarge = "backupbus: a value that is read where it is stored"

// rowsQuery also tells where each row is stored. The length of a value is known without reading it. The sign
// before a column keeps the driver from making a time of a text.
func rowsQuery(table string, columns []string) string {
	most := min(largestValue, largestRow/max(1, len(columns)))
	var q strings.Builder
	q.WriteString("SELECT ")
	for _, c := range columns {
		fmt.Fprintf(&q, "CASE WHEN octet_length(%[1]s) > %[2]d THEN ?1 ELSE +%[1]s END, ", quote(c), most)
	}
	fmt.Fprintf(&q, "sqlite_offset(%s) FROM main.%s NOT INDEXED", quote(columns[0]), quote(table))
	return q.String()
}

// hashRow hashes values with their types and lengths, so that no two rows are one sequence of bytes, and tells
// whether one of them is too large to be here.
func hashRow(h *xxhash.Digest, values []any) (large bool, err error) {
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			hashHead(h, 'n', 0)
		case int64:
			hashHead(h, 'i', uint64(v)) //nolint:gosec // the same bits
		case float64:
			hashHead(h, 'f', math.Float64bits(v))
		case string:
			large = large || v == tooLarge
			hashHead(h, 't', uint64(len(v)))
			_, _ = h.WriteString(v) // never fails
		case []byte:
			hashHead(h, 'b', uint64(len(v)))
			_, _ = h.Write(v)
		default:
			return false, fmt.Errorf("a value of type %T", v)
		}
	}
	return large, nil
}

func hashHead(h *xxhash.Digest, kind byte, number uint64) {
	_, _ = h.Write(binary.BigEndian.AppendUint64([]byte{kind}, number))
}

// sameRows compares the tables of a copy with what was read of the source.
func sameRows(ctx context.Context, db *database, want counted) error {
	got, err := readRows(ctx, db, want.sums != nil)
	if err != nil {
		return err
	}
	if diff := want.differences(got); diff != nil {
		return damaged(diff)
	}
	return nil
}

// differences names up to a few tables that are not equal, nil if all are.
func (c counted) differences(there counted) error {
	var all []error
	note := func(format string, args ...any) {
		if len(all) < 5 {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	for _, t := range slices.Sorted(maps.Keys(c.rows)) {
		switch n, ok := there.rows[t]; {
		case !ok:
			note("table %q is missing", t)
		case n != c.rows[t]:
			note("table %q has %d rows of %d", t, n, c.rows[t])
		case there.sums[t] != c.sums[t]:
			note("the rows of table %q are not the same", t)
		}
	}
	if len(c.rows) != len(there.rows) {
		note("%d tables of %d", len(there.rows), len(c.rows))
	}
	return errors.Join(all...)
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// strings reads the text column that a query returns.
func (d *database) strings(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := d.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}
