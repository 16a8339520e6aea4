package sqlite

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"strings"

	"github.com/cespare/xxhash/v2"
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
	names, err := db.strings(ctx, `SELECT name FROM pragma_table_list
		WHERE schema = 'main' AND type IN ('table', 'shadow') ORDER BY name`)
	if err != nil {
		return counted{}, fmt.Errorf("list the tables: %w", err)
	}
	got := counted{rows: make(map[string]int64, len(names))}
	if sums {
		got.sums = make(map[string]string, len(names))
	}
	for _, name := range names {
		if !sums {
			if got.rows[name], err = db.number(ctx, "SELECT count(*) FROM main."+quote(name)); err != nil {
				return counted{}, err
			}
			continue
		}
		n, sum, err := sumRows(ctx, db, name)
		if err != nil {
			return counted{}, fmt.Errorf("read the rows of a table: %w", err)
		}
		got.rows[name], got.sums[name] = n, fmt.Sprintf("%016x", sum)
	}
	return got, nil
}

// sumRows reads the stored values of a table. What a virtual column shows is computed, maybe by a function of
// the application, and is not read. The sign before a column keeps the driver from making a time of a text.
func sumRows(ctx context.Context, db *database, table string) (n int64, sum uint64, err error) {
	columns, err := db.strings(ctx, "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden <> 2 ORDER BY cid", table)
	if err != nil {
		return 0, 0, err
	}
	for i := range columns {
		columns[i] = "+" + quote(columns[i])
	}
	rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM main."+quote(table)+" NOT INDEXED")
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return 0, 0, err
		}
		hash, err := hashRow(values)
		if err != nil {
			return 0, 0, err
		}
		n, sum = n+1, sum+hash
	}
	return n, sum, rows.Err()
}

// hashRow hashes values with their types and lengths, so that no two rows are one sequence of bytes.
func hashRow(values []any) (uint64, error) {
	var h xxhash.Digest
	h.Reset()
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			hashHead(&h, 'n', 0)
		case int64:
			hashHead(&h, 'i', uint64(v)) //nolint:gosec // the same bits
		case float64:
			hashHead(&h, 'f', math.Float64bits(v))
		case string:
			hashHead(&h, 't', uint64(len(v)))
			_, _ = h.WriteString(v) // never fails
		case []byte:
			hashHead(&h, 'b', uint64(len(v)))
			_, _ = h.Write(v)
		default:
			return 0, fmt.Errorf("a value of type %T", v)
		}
	}
	return h.Sum64(), nil
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
	if !maps.Equal(got.rows, want.rows) {
		return damaged(fmt.Errorf("rows by table: %v and not %v", got.rows, want.rows))
	}
	if !maps.Equal(got.sums, want.sums) {
		return damaged(fmt.Errorf("sums by table: %v and not %v", got.sums, want.sums))
	}
	return nil
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
