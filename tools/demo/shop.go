package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// shop is the demo's database. Every transaction keeps what audit checks: money is neither made nor lost,
// and the number of entries is what the counter says.
type shop struct {
	db      *sql.DB
	began   time.Time
	written atomic.Int64
	stop    chan struct{}
	done    sync.WaitGroup
	failed  error
}

const (
	accounts = 100
	money    = accounts * 1000
)

const schema = `
CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE entry (id INTEGER PRIMARY KEY, payer INTEGER NOT NULL, payee INTEGER NOT NULL, amount INTEGER NOT NULL);
CREATE TABLE counter (entries INTEGER NOT NULL);
CREATE TABLE document (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO counter VALUES (0);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO account SELECT i, 1000 FROM n;`

func createShop(ctx context.Context, path string, megabytes int) (*shop, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	s := &shop{db: db, stop: make(chan struct{})}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	// Documents of 8 KiB: half of it compresses well, half hardly.
	_, err = db.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO document SELECT i, hex(randomblob(2048)) || printf('%.*c', 4096, 'x') FROM n`, megabytes*122)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *shop) startWriter() {
	s.began = time.Now()
	s.done.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-s.stop:
				return
			default:
			}
			if err := s.transfer(n%accounts+1, (n*7+3)%accounts+1, n%5); err != nil {
				s.failed = fmt.Errorf("writer: %w", err)
				return
			}
			s.written.Add(1)
		}
	})
}

func (s *shop) transfer(from, to, amount int) (err error) {
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	for _, q := range []struct {
		text string
		args []any
	}{
		{"UPDATE account SET balance = balance - ? WHERE id = ?", []any{amount, from}},
		{"UPDATE account SET balance = balance + ? WHERE id = ?", []any{amount, to}},
		{"INSERT INTO entry (payer, payee, amount) VALUES (?, ?, ?)", []any{from, to, amount}},
		{"UPDATE counter SET entries = entries + 1", nil},
	} {
		if _, err := tx.Exec(q.text, q.args...); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// rate is how many transactions a second were written so far.
func (s *shop) rate() int {
	return int(float64(s.written.Load()) / max(time.Since(s.began).Seconds(), 0.001))
}

func (s *shop) close() error {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.done.Wait()
	return errors.Join(s.failed, s.db.Close())
}

// tally is what can be counted in a copy.
type tally struct{ balance, entries, counter, documents int64 }

func count(ctx context.Context, db *sql.DB) (t tally, err error) {
	err = db.QueryRowContext(ctx, `SELECT (SELECT sum(balance) FROM account), (SELECT count(*) FROM entry),
		(SELECT entries FROM counter), (SELECT count(*) FROM document)`).Scan(&t.balance, &t.entries, &t.counter, &t.documents)
	return t, err
}

// compare holds a restored copy against its own consistency point, and against the living database.
func (s *shop) compare(ctx context.Context, path string) error {
	restored, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return err
	}
	defer func() { _ = restored.Close() }()
	copied, err := count(ctx, restored)
	if err != nil {
		return fmt.Errorf("count the restored copy: %w", err)
	}
	living, err := count(ctx, s.db)
	if err != nil {
		return fmt.Errorf("count the living database: %w", err)
	}
	fmt.Printf("%-22s %12s %12s %12s %12s\n", "", "documents", "entries", "counter", "money")
	fmt.Printf("%-22s %12d %12d %12d %12d\n", "the copy", copied.documents, copied.entries, copied.counter, copied.balance)
	fmt.Printf("%-22s %12d %12d %12d %12d\n", "the database, by now", living.documents, living.entries, living.counter, living.balance)
	switch {
	case copied.entries != copied.counter:
		return fmt.Errorf("the copy has %d entries and a counter of %d: it is not of one moment", copied.entries, copied.counter)
	case copied.balance != money:
		return fmt.Errorf("the copy holds %d, not %d: it is not of one moment", copied.balance, money)
	case copied.documents != living.documents, copied.entries == 0, copied.entries > living.entries:
		return errors.New("the copy is not what the database once was")
	}
	fmt.Println("the copy is of one moment: as many entries as its counter says, and no money lost")
	return nil
}
