package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/backupbus/backupbus/services/provider-executors/engine"
)

// snapshot is a read transaction on a source, and what it learned.
type snapshot struct {
	db       *database
	taken    time.Time // just before the transaction began
	pages    int64
	pageSize int64
	version  string        // of the library that wrote the database last
	hash     xxhash.Digest // of the pages that were streamed
}

// begin opens file and begins the transaction that the copy is of. Close it.
func (e *Engine) begin(ctx context.Context, file string) (*snapshot, error) {
	db, err := readOnly(ctx, file, e.config.BusyTimeout)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", sourceFailure(file, err))
	}
	s := &snapshot{db: db}
	s.hash.Reset()
	if err := s.begin(ctx, e.now); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("begin to read the database: %w", sourceFailure(file, err))
	}
	return s, nil
}

// begin: the page count is the first read, so it is what takes the snapshot.
func (s *snapshot) begin(ctx context.Context, now func() time.Time) (err error) {
	s.taken = now()
	if _, err = s.db.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	if s.pages, err = s.db.number(ctx, "PRAGMA page_count"); err != nil {
		return err
	}
	s.pageSize, err = s.db.number(ctx, "PRAGMA page_size")
	return err
}

func (s *snapshot) Close() error { return s.db.Close() }

func (s *snapshot) bytes() int64 { return s.pages * s.pageSize }

// stream writes every page of the snapshot to w in order, the first with its header as it is.
func (s *snapshot) stream(ctx context.Context, w io.Writer) error {
	rows, err := s.db.QueryContext(ctx, "SELECT pgno, data FROM sqlite_dbpage ORDER BY pgno")
	if err != nil {
		return err
	}
	defer rows.Close()
	var seen int64
	alive := engine.Alive(ctx) // for a writer that throws away
	for rows.Next() {
		alive()
		var number int64
		var page sql.RawBytes
		if err := rows.Scan(&number, &page); err != nil {
			return err
		}
		if seen++; number != seen || int64(len(page)) != s.pageSize {
			return damaged(fmt.Errorf("page %d of %d bytes came as number %d", number, len(page), seen))
		}
		if seen == 1 {
			s.version = writerVersion(page)
		}
		_, _ = s.hash.Write(page) // never fails
		if _, err := w.Write(page); err != nil {
			return notOurs{err}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if seen != s.pages {
		return damaged(fmt.Errorf("%d pages came of %d", seen, s.pages))
	}
	return nil
}

// notOurs is an error of the storage behind the writer, which must not be taken for one of the source.
type notOurs struct{ error }

func (e notOurs) Unwrap() error { return e.error }

// writerVersion is SQLITE_VERSION_NUMBER of the database header (offset 96) as 3.45.1, empty if unset.
func writerVersion(page []byte) string {
	if len(page) < 100 {
		return ""
	}
	v := binary.BigEndian.Uint32(page[96:])
	if v < 3_000_000 || v > 9_999_999 {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", v/1_000_000, v/1000%1000, v%1000)
}

// copyError puts an error of stream where it belongs: the storage keeps its own.
func copyError(file string, err error) error {
	var n notOurs
	if err == nil || errors.As(err, &n) {
		return err
	}
	return sourceFailure(file, err)
}
