package mysql

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

func TestScratch_ServerThatWaitsIsToldFromOneThatLoads(t *testing.T) {
	t.Parallel()
	for _, kind := range mysqltest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			if err := kind.Find(); err != nil {
				kind.Missing(t, err)
			}
			e, err := New(Deps{Now: time.Now, Programs: kind.Programs()}, Config{})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir() // on a disk, as in production
			s, err := e.bootScratch(t.Context(), dir, kind == mysqltest.MariaDB)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.stop() }() // its end is not a success
			text, err := os.ReadFile(filepath.Join(dir, "pid"))
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			rows := "INSERT INTO made.t VALUES " + strings.Repeat("(REPEAT('words', 50)),", 5000) + "('last')"
			if err := s.do(t.Context(), "CREATE DATABASE made"); err != nil {
				t.Fatal(err)
			}
			if err := s.do(t.Context(), "CREATE TABLE made.t (words VARCHAR(300))"); err != nil {
				t.Fatal(err)
			}
			executortest.WaitsAndWorks(t, pid, func(ctx context.Context) error { return s.do(ctx, rows) })
		})
	}
}
