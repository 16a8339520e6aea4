package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/backupbus/backupbus/events/client"
	"github.com/backupbus/backupbus/schemas"
)

// A program that wants to know of every backup that ended, and stops at the first one here.
func ExampleSubscribe() {
	server := recorded()
	defer server.Close()
	enough := errors.New("enough")
	err := client.Subscribe(context.Background(), client.Config{
		Server: server.URL, Project: "shop", Types: []string{"backup.succeeded.v1", "backup.failed.v1"},
		Cursor: "", // what was stored with the effect of the last event
	}, func(_ context.Context, m client.Message) error {
		fmt.Println(m.Event.Type, m.Event.State)
		fmt.Println("go on after", m.Cursor)
		return enough
	})
	fmt.Println(err)
	// Output:
	// dev.backupbus.backup.succeeded.v1 SUCCESSFUL
	// go on after 0badcafe-7
	// enough
}

// recorded is a server whose stream has one event; a real one is `backupbus up`.
func recorded() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		ev, err := schemas.Example("dev.backupbus.backup.succeeded.v1")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "retry: 10\nid: 0badcafe-6\n\nid: 0badcafe-7\nevent: dev.backupbus.backup.succeeded.v1\ndata: "+oneLine(ev)+"\n\n")
	}))
}
