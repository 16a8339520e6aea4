package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// Rights are what a program of others may do on the bus, whatever its project: the outsider of events.md 4.6.
//
// They suffice only if it has an account of its own that imports Requests and Hears. In the services' account the
// server would send what answers a request to any subject that the request names, the log included.
type Rights struct {
	Requests []Request
	Hears    []string // may be subscribed to, besides its own inboxes
	Denied   []string // of what Requests cover
}

// Request is something that may be published.
type Request struct {
	Subject  string // as the outsider publishes it
	Handler  string // where the services' account answers it: Subject, or our own
	Messages bool   // more than one answer may come
}

const (
	consumerAPI   = "$JS.API.CONSUMER."
	directGet     = "$JS.API.DIRECT.GET."
	outsiderRoot  = "backupbus.v1.outsider"
	createRequest = outsiderRoot + ".create"
	listRequest   = outsiderRoot + ".list"
)

// OutsiderRights are those that leave the durables of t alone. ServeOutsiders answers what the server cannot be let to.
func OutsiderRights(t Topology) Rights {
	all := events.AllEvents
	server := func(subject string) Request { return Request{Subject: subject, Handler: subject} }
	several := func(subject string) Request { return Request{Subject: subject, Handler: subject, Messages: true} }
	r := Rights{
		Requests: []Request{
			server(events.CommandRoot + ".>"),
			{Subject: consumerAPI + "CREATE." + EventStream + ".*." + all, Handler: createRequest + ".*." + all},
			{Subject: consumerAPI + "LIST." + EventStream, Handler: listRequest},
			server(consumerAPI + "INFO." + EventStream + ".*"),
			server(consumerAPI + "DELETE." + EventStream + ".*"),
			several(consumerAPI + "MSG.NEXT." + EventStream + ".*"),
			server("$JS.ACK." + EventStream + ".>"),
			server("$JS.API.DIRECT.GET." + EventStream + "." + all),
			server("$JS.API.STREAM.INFO." + EventStream),
			server("$JS.API.INFO"),
		},
		Hears: []string{all, events.AllProgress, ReplyRoot + ".>"},
	}
	for _, c := range t.consumers()[EventStream] {
		for _, call := range []string{"INFO.", "DELETE.", "MSG.NEXT."} {
			r.Denied = append(r.Denied, consumerAPI+call+EventStream+"."+c.Durable)
		}
		r.Denied = append(r.Denied, consumerAPI+"CREATE."+EventStream+"."+c.Durable+".>", "$JS.ACK."+EventStream+"."+c.Durable+".>")
	}
	return r
}

// ServeOutsiders makes and lists consumers for programs of others until stop. The server looks at the subject of such
// a request only, and would deliver to whatever subject its body names.
func (b *Bus) ServeOutsiders() (stop func(), err error) {
	create, err := b.nc.Subscribe(createRequest+".>", b.createForOutsider)
	if err != nil {
		return nil, fmt.Errorf("serve outsiders: %w", err)
	}
	list, err := b.nc.Subscribe(listRequest, b.listForOutsider)
	if err == nil {
		err = b.nc.FlushTimeout(answerWait)
	}
	stop = func() {
		_ = create.Unsubscribe()
		if list != nil {
			_ = list.Unsubscribe()
		}
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("serve outsiders: %w", err)
	}
	return stop, nil
}

// consumerRequest is the body of CONSUMER.CREATE.
type consumerRequest struct {
	Stream   string                   `json:"stream_name"`
	Config   jetstream.ConsumerConfig `json:"config"`
	Action   string                   `json:"action,omitempty"`
	Pedantic bool                     `json:"pedantic,omitempty"`
}

// createForOutsider passes on what was understood of a request, so that nothing else reaches the server.
func (b *Bus) createForOutsider(m *nats.Msg) {
	const kind = "io.nats.jetstream.api.v1.consumer_create_response"
	name, filter, _ := strings.Cut(strings.TrimPrefix(m.Subject, createRequest+"."), ".")
	var r consumerRequest
	if err := json.Unmarshal(m.Data, &r); err != nil {
		b.refuse(m, kind, "the request cannot be read: send the JSON of a consumer")
		return
	}
	if r.Config.Durable == "" && r.Config.Name == "" {
		r.Config.Name = name // of an ephemeral consumer clients say it in the subject only
	}
	if why := whyNot(r, name, filter); why != "" {
		b.refuse(m, kind, why)
		return
	}
	body, err := json.Marshal(r)
	if err != nil {
		b.refuse(m, kind, "the request cannot be passed on: send a smaller one")
		return
	}
	answer, err := b.nc.Request(consumerAPI+"CREATE."+EventStream+"."+name+"."+filter, body, answerWait)
	if err != nil {
		return // as if the server had not answered: the client asks again
	}
	b.answerOutsider(m, answer.Data)
}

// whyNot says why a program of others may not have this consumer, empty if it may.
func whyNot(r consumerRequest, name, filter string) string {
	c := r.Config
	switch {
	case r.Stream != EventStream:
		return "only consumers of " + EventStream + " can be made"
	case c.DeliverSubject != "" || c.DeliverGroup != "":
		return "consumers are pulled from: leave deliver_subject and deliver_group out"
	case c.FilterSubject != filter || len(c.FilterSubjects) > 0:
		return "a consumer has one filter_subject, the one in the subject of the request"
	case c.Durable != name && c.Name != name || c.Durable != "" && c.Name != "" && c.Durable != c.Name:
		return "the name is not the one in the subject of the request"
	case ReservedConsumer(name):
		return "the name belongs to a service: take another"
	}
	return ""
}

// ReservedConsumer tells a name that is a service's.
func ReservedConsumer(name string) bool {
	_, reserved := StreamOf(name)
	return reserved
}

// listForOutsider shows the durables that programs of others made, all in one page.
func (b *Bus) listForOutsider(m *nats.Msg) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWait) // a request brings no context
	defer cancel()
	all, err := b.foreignConsumers(ctx)
	if err != nil {
		return // as if the server had not answered
	}
	page := struct {
		Type      string                    `json:"type"`
		Total     int                       `json:"total"`
		Offset    int                       `json:"offset"`
		Limit     int                       `json:"limit"`
		Consumers []*jetstream.ConsumerInfo `json:"consumers"`
	}{"io.nats.jetstream.api.v1.consumer_list_response", len(all), 0, max(len(all), 1), all}
	body, err := json.Marshal(page)
	if err != nil {
		return
	}
	b.answerOutsider(m, body)
}

func (b *Bus) refuse(m *nats.Msg, kind, why string) {
	type apiError struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	}
	body, err := json.Marshal(struct {
		Type  string   `json:"type"`
		Error apiError `json:"error"`
	}{kind, apiError{400, badRequest, why}})
	if err == nil {
		b.answerOutsider(m, body)
	}
}

// badRequest is the server's own code for a request that it does not take.
const badRequest = 10003

func (b *Bus) answerOutsider(m *nats.Msg, body []byte) {
	if err := m.Respond(body); err != nil {
		b.log.Warn("an outsider was not answered", "error", events.Redact(err.Error()))
	}
}
