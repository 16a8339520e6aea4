package main

import (
	"database/sql"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"backupbus": main})
}

// The scripts in testdata are what a person types and sees.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			addr, err := freeAddr()
			if err != nil {
				return err
			}
			nats, err := freeAddr()
			if err != nil {
				return err
			}
			e.Setenv("NATS", nats)
			e.Setenv("ADDR", addr)
			e.Setenv("BACKUPBUS_SERVER", "http://"+addr)
			e.Setenv("BACKUPBUS_PROJECT", "shop")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready":      ready,
			"makedb":     makeDatabase,
			"exits":      exits,
			"rows":       rowsAre,
			"substitute": substitute,
			"field":      field,
		},
	})
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// ready waits until the server answers.
func ready(ts *testscript.TestScript, _ bool, _ []string) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		resp, err := http.Get(ts.Getenv("BACKUPBUS_SERVER") + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		<-time.After(20 * time.Millisecond)
	}
	ts.Fatalf("backupbus up is not ready")
}

// makeDatabase makes a SQLite file with one table of n rows: makedb FILE n.
func makeDatabase(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = db.Exec("CREATE TABLE t (a)")
	ts.Check(err)
	rows, err := strconv.Atoi(args[1])
	ts.Check(err)
	_, err = db.Exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO t SELECT i FROM n", rows)
	ts.Check(err)
	ts.Check(db.Close())
}

// exits runs backupbus and wants that exit code: exits CODE ARGS…
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("backupbus", args[1:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("backupbus %s: exit %s, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// substitute puts the script's variables into files: substitute FILE…
func substitute(ts *testscript.TestScript, _ bool, args []string) {
	for _, f := range args {
		text := strings.ReplaceAll(ts.ReadFile(f), "$WORK", ts.Getenv("WORK"))
		ts.Check(os.WriteFile(ts.MkAbs(f), []byte(text), 0o600))
	}
}

// field puts the first match of a pattern in the last output into a variable: field NAME PATTERN.
func field(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindString(ts.ReadFile("stdout"))
	if found == "" {
		ts.Fatalf("no %s in the output", args[1])
	}
	ts.Setenv(args[0], found)
}

// rowsAre wants that many rows in a file that makedb, or a restore of one, made: rows FILE n.
func rowsAre(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[0])+"?mode=ro")
	ts.Check(err)
	var n string
	ts.Check(db.QueryRow("SELECT count(*) FROM t").Scan(&n))
	ts.Check(db.Close())
	if n != args[1] {
		ts.Fatalf("%s has %s rows, want %s", args[0], n, args[1])
	}
}
