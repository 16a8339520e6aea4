package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// records reads stored rows page by page, so that a row of any size passes in the memory of a page. SQLite
// itself holds a value as a whole, whatever part of it is asked for. The format is that of
// https://www.sqlite.org/fileformat2.html, sections 1.3 to 1.6.
type records struct {
	page     *sql.Stmt
	pageSize int64
	usable   int64 // bytes of a page without those reserved at its end; 0: not known yet
}

const (
	reservedAt     = 20  // in the header of the database
	databaseHeader = 100 // bytes, before the header of the first page

	interiorIndex = 0x02 // the types of pages that hold rows
	leafIndex     = 0x0a
	leafTable     = 0x0d

	cellCountAt    = 3 // in the header of a page of a b-tree
	leafHeader     = 8
	interiorHeader = 12
	pageNumber     = 4
)

func newRecords(ctx context.Context, db *database) (*records, error) {
	size, err := db.number(ctx, "PRAGMA main.page_size")
	if err != nil {
		return nil, err
	}
	page, err := db.PrepareContext(ctx, "SELECT data FROM sqlite_dbpage('main') WHERE pgno = ?")
	if err != nil {
		return nil, err
	}
	return &records{page: page, pageSize: size}, nil
}

// begin reads the header of the database, which an empty one does not have.
func (r *records) begin(ctx context.Context) error {
	if r.usable > 0 {
		return nil
	}
	first, err := r.read(ctx, 1)
	if err != nil {
		return err
	}
	r.usable = r.pageSize - int64(first[reservedAt])
	return nil
}

func (r *records) close() error { return r.page.Close() }

func (r *records) read(ctx context.Context, number int64) ([]byte, error) {
	var page []byte
	if err := r.page.QueryRowContext(ctx, number).Scan(&page); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	if int64(len(page)) != r.pageSize {
		return nil, damaged(fmt.Errorf("page %d has %d bytes", number, len(page)))
	}
	return page, nil
}

// write passes on the record that begins at offset of the file, as sqlite_offset tells it, and calls alive for
// each page.
func (r *records) write(ctx context.Context, offset int64, to io.Writer, alive func()) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	page, err := r.read(ctx, offset/r.pageSize+1)
	if err != nil {
		return err
	}
	header := page
	if offset < r.pageSize {
		header = page[databaseHeader:]
	}
	begin := offset % r.pageSize
	left, err := sizeOf(page, header, int(begin))
	if err != nil {
		return err
	}
	end := begin + r.local(header[0], left)
	if end > r.usable {
		return damaged(errors.New("a row reaches beyond its page"))
	}
	rest := page[end:] // begins with the number of the page on which the row goes on
	for part := page[begin:end]; ; part = page[pageNumber:min(r.usable, pageNumber+left)] {
		alive()
		if _, err := to.Write(part); err != nil {
			return err
		}
		if left -= int64(len(part)); left == 0 {
			return nil
		}
		if page, err = r.read(ctx, int64(binary.BigEndian.Uint32(rest))); err != nil {
			return err
		}
		rest = page
	}
}

// sizeOf is the length of the record that begins on a page: it stands in the cell, before the record.
func sizeOf(page, header []byte, begin int) (int64, error) {
	kind, pointers := header[0], header[leafHeader:]
	if kind == interiorIndex {
		pointers = header[interiorHeader:]
	}
	cell := 0 // the last one that begins before the record
	for i := range min(int(binary.BigEndian.Uint16(header[cellCountAt:])), len(pointers)/2) {
		if at := int(binary.BigEndian.Uint16(pointers[2*i:])); at < begin {
			cell = max(cell, at)
		}
	}
	at := cell
	if kind == interiorIndex {
		at += pageNumber // of the child
	}
	size, n := varint(page[at:])
	at += n
	if kind == leafTable {
		_, n = varint(page[at:]) // the rowid
		at += n
	}
	if cell == 0 || at != begin || size <= 0 || kind != leafTable && kind != leafIndex && kind != interiorIndex {
		return 0, damaged(errors.New("a row does not lie where the database says"))
	}
	return size, nil
}

// local is how much of a record of so many bytes lies on the page of its cell.
func (r *records) local(kind byte, size int64) int64 {
	most := (r.usable-12)*64/255 - 23
	if kind == leafTable {
		most = r.usable - 35
	}
	if size <= most {
		return size
	}
	least := (r.usable-12)*32/255 - 23
	if k := least + (size-least)%(r.usable-4); k <= most {
		return k
	}
	return least
}

// varint is a number of SQLite's and its length; 0: it is cut off.
func varint(p []byte) (v int64, n int) {
	for i, b := range p {
		if i == 8 {
			return v<<8 | int64(b), 9
		}
		if v = v<<7 | int64(b&0x7f); b < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
