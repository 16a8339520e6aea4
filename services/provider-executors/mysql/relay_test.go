package mysql

import (
	"crypto/tls"
	"database/sql"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// relayed is a child's connection through a relay to a server that greets, and then does as told.
func relayed(t *testing.T, c *tls.Config, then func(srv net.Conn)) (*relay, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		srv, err := ln.Accept()
		if err != nil {
			return
		}
		defer srv.Close()
		_ = greetingOf(0xff, 0xff).write(srv)
		then(srv)
		_, _ = io.Copy(io.Discard, srv)
	}()
	r, err := newRelay(t.Context(), endpoint{network: "tcp", address: ln.Addr().String(), tls: c, timeout: time.Minute}, "m", false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	child, err := net.Dial("unix", filepath.Join(r.dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Close() })
	_ = child.SetDeadline(time.Now().Add(time.Minute))
	if _, err := readPacket(child); err != nil {
		t.Fatal(err)
	}
	return r, child
}

func TestRelay_ReasonIsKnownWhenTheChildLosesItsConnection(t *testing.T) {
	t.Parallel()
	for _, asks := range []packet{packetOf(answerMore, fullLogin), packetOf([]byte("\xfemysql_clear_password\x00")...)} {
		r, child := relayed(t, nil, func(srv net.Conn) {
			_, _ = readPacket(srv)
			_ = asks.write(srv)
		})
		if err := packetOf(make([]byte, sslRequestSize)...).write(child); err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(child); len(got) > 0 {
			t.Errorf("the child was asked: %q", got)
		}
		if err := r.reason(); !errors.Is(err, errBare) {
			t.Errorf("%q: %v", asks, err)
		}
	}
}

func TestRelay_ChildThatEndsBeforeItAnswersBlamesNoServer(t *testing.T) {
	t.Parallel()
	for _, c := range []*tls.Config{nil, {InsecureSkipVerify: true}} {
		ended := make(chan struct{})
		r, child := relayed(t, c, func(srv net.Conn) {
			_, _ = readPacket(srv)
			close(ended)
		})
		_ = child.Close()
		<-ended
		r.close()
		if err := r.reason(); err != nil {
			t.Errorf("TLS %v: %v", c != nil, err)
		}
	}
}

// The server gives a dump that storage holds up as long as the executor does, not a minute.
func TestRelay_ServerIsPatient(t *testing.T) {
	t.Parallel()
	srv := mysqltest.Start(t, mysqltest.MariaDB)
	r, err := newRelay(t.Context(), endpoint{network: "unix", address: srv.Address(), timeout: time.Minute}, "m", false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	for address, want := range map[string]int{filepath.Join(r.dir, "s"): 86400, srv.Address(): 60} {
		c := driver.NewConfig()
		c.Net, c.Addr, c.User, c.Passwd = "unix", address, "root", mysqltest.RootPassword
		connector, err := driver.NewConnector(c)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		var seconds int
		if err := errors.Join(db.QueryRowContext(t.Context(), "SELECT @@SESSION.net_write_timeout").Scan(&seconds), db.Close()); err != nil || seconds != want {
			t.Errorf("%s: %d seconds, %v", address, seconds, err)
		}
	}
}
