package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events/bus/commandtest"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

// What a person types and sees. There is no embedded server that an outsider could reach, so it is no script.
func TestDeadLetter_ListShowRedrive(t *testing.T) {
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{})
	commandtest.Connect(t, p.NATS).Send("backupbus.v1.command.shop._.orders.backup.create", map[string][]string{"X-Note": {"hand-made"}}, []byte("hello"))
	p.NATS.DeadLetters(t, 1)
	typed := func(args ...string) (string, error) {
		var out bytes.Buffer
		root := newRoot()
		root.SetArgs(append([]string{"--server", p.URL, "--project", "_", "dead-letter"}, args...))
		root.SetOut(&out)
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	list, err := typed("list", "--reason", "unreadable")
	lines := strings.Split(list, "\n")
	if err != nil || len(lines) != 3 || strings.Join(strings.Fields(lines[0]), " ") != "SEQUENCE TIME SERVICE REASON SUBJECT ERROR" || !strings.HasPrefix(lines[1], "1 ") || !strings.Contains(lines[1], "requester") {
		t.Errorf("%v\n%s", err, list)
	}
	shown, err := typed("show", "1")
	if err != nil || !strings.Contains(shown, "hello") || !strings.Contains(shown, "hand-made") || !strings.Contains(shown, "BACKUP_COMMANDS 1") {
		t.Errorf("%v\n%s", err, shown)
	}
	redriven, err := typed("redrive", "1")
	if err != nil || !strings.Contains(redriven, "redriven") {
		t.Errorf("%v\n%s", err, redriven)
	}
	p.NATS.DeadLetters(t, 2)
	if _, err := typed("show", "4711"); err == nil || codeOf(err) != exitConflict || !strings.Contains(err.Error(), "DEAD_LETTER_NOT_FOUND") {
		t.Errorf("%v", err)
	}
	if out, err := typed("list", "--service", "tracker", "-o", "json"); err != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("%v %s", err, out)
	}
}
