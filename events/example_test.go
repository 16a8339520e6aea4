package events_test

import (
	"fmt"
	"log"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/schemas"
)

// A consumer reads a message in either mode, and finds the complete record of the backup in it.
func ExampleParse() {
	message, err := schemas.Example("dev.backupbus.backup.succeeded.v1")
	if err != nil {
		log.Fatal(err)
	}
	ev, err := events.Parse(map[string][]string{"content-type": {"application/cloudevents+json"}}, message)
	if err != nil {
		log.Fatal(err)
	}
	b, err := events.Decode[events.Backup](ev)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ev.Step(), b.Project, b.Instance, b.State, b.Proof)
	// Output: succeeded shop orders-db SUCCESSFUL CHECKED
}

func ExampleToken() {
	token, err := events.Token("my db.*>")
	fmt.Println(token, err)
	// Output: my~20db~2E~2A~3E <nil>
}
