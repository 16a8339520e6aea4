package postgres

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/services/provider-executors/executortest"
)

func TestScratch_ServerThatWaitsIsToldFromOneThatLoads(t *testing.T) {
	t.Parallel()
	common, w := server1(t), newWorld(t)
	var major int
	if err := common.DB(t, "postgres").QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int / 10000").Scan(&major); err != nil {
		t.Fatal(err)
	}
	x := w.executor(t)
	programs, err := x.engine.scratchPrograms(t.Context(), major)
	if err != nil {
		t.Fatal(err)
	}
	s, err := x.engine.newScratch(t.Context(), programs, w.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	text, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.connect(t.Context(), "postgres", "a-test")
	if err != nil {
		t.Fatal(err)
	}
	defer bye(context.Background(), c)
	executortest.WaitsAndWorks(t, pid, func(ctx context.Context) error {
		return run(ctx, c, "DROP TABLE IF EXISTS public.big", strings.Replace(bigTable, "big", "public.big", 1))
	})
}
