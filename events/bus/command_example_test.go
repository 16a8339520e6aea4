package bus_test

import (
	"context"
	"encoding/json"
	"fmt"
	logging "log"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/backupbus/backupbus/events"
)

// A program of one's own asks for a backup on the bus, and hears what becomes of the request. It needs nothing but a
// NATS client; the same source and id again would be the same request.
func Example_command() {
	nc, err := nats.Connect("nats://127.0.0.1:4222")
	if err != nil {
		logging.Fatal(err)
	}
	defer nc.Close()
	answers, err := nc.SubscribeSync("backupbus.v1.reply.shop.cron")
	if err != nil {
		logging.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := nc.RequestMsgWithContext(ctx, &nats.Msg{ // its reply says "stored", no more
		Subject: "backupbus.v1.command.shop._.orders.backup.create",
		Header: nats.Header{
			"ce-specversion": {"1.0"}, "ce-type": {events.CreateBackup.Type()}, "ce-source": {"/ops/cron"}, "ce-id": {"nightly-2026-01-15"},
			"Backupbus-Reply-To": {answers.Subject},
		},
		Data: []byte(`{"instance":"orders","description":"nightly"}`),
	}); err != nil {
		logging.Fatal(err)
	}
	m, err := answers.NextMsgWithContext(ctx)
	if err != nil {
		logging.Fatal(err)
	}
	var outcome struct{ BackupID, State, Reason, Message string }
	if err := json.Unmarshal(m.Data, &outcome); err != nil {
		logging.Fatal(err)
	}
	fmt.Println(outcome)
}
