package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDescribeBackup_SaysWhatBecameOfASlotAndHowFarItIs(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string][]string{
		`{"backupId":"bk_a","scheduleId":"sc_a","dueTime":"2026-01-15T02:00:00Z","windowEndTime":"2026-01-15T06:00:00Z","state":"SKIPPED",
		  "skipReason":"NO_CHANGES","skipMessage":"nothing changed","coveredByBackupId":"bk_b"}`: {
			"schedule\tsc_a", "due\t2026-01-15T02:00:00Z, window until 2026-01-15T06:00:00Z", "skipped\tNO_CHANGES: nothing changed", "data held by\tbk_b",
		},
		`{"backupId":"bk_a","state":"OVERDUE","overdue":{"sinceTime":"2026-01-15T06:00:00Z","blockedByBackupId":"bk_c",
		  "lastSuccessBackupId":"bk_d","lastSuccessTime":"2026-01-14T02:10:00Z"}}`: {
			"overdue\tnot begun at 2026-01-15T06:00:00Z", "blocked by\tbk_c", "last good\tbk_d of 2026-01-14T02:10:00Z",
		},
		`{"backupId":"bk_a","state":"RUNNING","overdue":{"sinceTime":"2026-01-15T06:00:00Z","started":true}}`:             {"overdue\tstill running at 2026-01-15T06:00:00Z"},
		`{"backupId":"bk_a","state":"RUNNING","progress":{"phase":"COPYING","percent":40,"bytesDone":4,"bytesTotal":10}}`: {"progress\tCOPYING, 40 %"},
		`{"backupId":"bk_a","state":"RUNNING","progress":{"phase":"COPYING","bytesDone":2048}}`:                           {"progress\tCOPYING, 2.0 KiB"},
		`{"backupId":"bk_a","state":"RUNNING","progress":{"phase":"FINALIZING"}}`:                                         {"progress\tFINALIZING"},
	} {
		var out strings.Builder
		if err := describeBackup(&out, json.RawMessage(answer)); err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(out.String(), line+"\n") {
				t.Errorf("no %q in\n%s", line, out.String())
			}
		}
	}
}

func TestDescribeRestore_SaysHowFarItIsAndHowItEnded(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"restoreId":"rs_a","backupId":"bk_a","target":{"instance":"copy"},"state":"RUNNING","progress":{"phase":"COPYING","percent":40,"bytesDone":4,"bytesTotal":10}}`: "restore\trs_a\nbackup\tbk_a\nto\tcopy\nstate\tRUNNING\nprogress\tCOPYING, 40 %\n",
		`{"restoreId":"rs_a","backupId":"bk_a","target":{"instance":"copy"},"state":"SUCCESSFUL","restoredBytes":2048,"durationMs":1500}`:                                 "restore\trs_a\nbackup\tbk_a\nto\tcopy\nstate\tSUCCESSFUL\nrestored\t2.0 KiB\ntook\t1.5s\n",
		`{"restoreId":"rs_a","backupId":"bk_a","target":{"instance":"copy"},"state":"FAILED","error":{"code":"CORRUPT","message":"damaged"}}`:                             "restore\trs_a\nbackup\tbk_a\nto\tcopy\nstate\tFAILED\nerror\tCORRUPT: damaged\n",
	} {
		var out strings.Builder
		if err := describeRestore(&out, json.RawMessage(answer)); err != nil || out.String() != want {
			t.Errorf("%v\n%s, want\n%s", err, out.String(), want)
		}
	}
}
