package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// sessionEnd is how long a session may take to end after it was told to.
const sessionEnd = 30 * time.Second

const errNoSuchThread = 1094

// endSessions kills those of the sessions that there still are and waits until they are gone: the server
// notices the end of a client only when it has something to send.
func (s *server) endSessions(ctx context.Context, ids []uint64) error {
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionEnd) // also when the work was cancelled
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		left, err := s.alive(ctx, ids)
		switch {
		case err != nil && !isRefusal(err):
			return nil // a server that is away has no sessions
		case err != nil || len(left) == 0:
			return err
		}
		if same, err := s.sameServer(ctx); err != nil || !same {
			return err // numbers begin anew with a server: those are another's
		}
		if err := s.kill(ctx, left); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: sessions %v have not ended", unavailable("a session of the backup's tool did not end on the server though it was killed: look at SHOW PROCESSLIST there"), left)
		}
	}
}

// sameServer tells that the server was not started again since the login. One that is away has no sessions. It is asked
// over the connection that there is, which is made again if it broke: an account may have no other left.
func (s *server) sameServer(ctx context.Context) (bool, error) {
	now, err := s.start(ctx)
	if err != nil && isRefusal(err) {
		return false, failure(err)
	}
	return err == nil && now == s.started, nil
}

// alive are those of the sessions that are there and belong to the account of the login.
func (s *server) alive(ctx context.Context, ids []uint64) ([]string, error) {
	// MySQL's table of the same refuses to answer while any session's statement has a character of four bytes.
	found, err := s.rows(ctx, "SHOW PROCESSLIST")
	if err != nil {
		return nil, failure(err)
	}
	var left []string
	for _, r := range found { // id, user, …
		if id, err := strconv.ParseUint(r[0], 10, 64); err == nil && r[1] == s.user && slices.Contains(ids, id) {
			left = append(left, r[0])
		}
	}
	return left, nil
}

func (s *server) kill(ctx context.Context, ids []string) error {
	for _, id := range ids {
		err := s.do(ctx, "KILL "+id)
		var e *driver.MySQLError
		if err != nil && (!errors.As(err, &e) || e.Number != errNoSuchThread) {
			return failure(err)
		}
	}
	return nil
}
