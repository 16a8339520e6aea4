package bus

import (
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/backupbus/backupbus/events"
)

// Users of a deployment (events.md 4.6). All replicas of a service are one user.
const (
	RequesterUser = "requester"
	ExecutorsUser = "provider-executors" // of all providers of Topology.Executors
	TrackerUser   = "status-tracker"
	NotifierUser  = "notifier"
	ProvisionUser = "provision" // the operator's: makes streams and durables
)

// InboxPrefix is where a user hears answers, and nobody else.
func InboxPrefix(user string) string { return "_INBOX_" + user }

// User is a service, and the subjects that the server lets it use.
//
// The server judges subjects. Where an answer goes, or a consumer delivers to, stands in the request, and is not judged:
// rights within one account keep services from mistakes, not from each other when one of them was taken over. So
// programs of others have accounts of their own (Outsider).
type User struct {
	Name      string
	Publish   []string
	Forbidden []string // of what Publish covers
	Subscribe []string
}

// Users are the services on t, each with what it needs to run, and the operator. No service makes, changes or removes a
// stream or a durable, those named foreign among them, or deletes a message; status-tracker alone purges the log.
func Users(t Topology, foreign ...string) []User {
	t = t.withDefaults()
	g := grants{t.durables(), t.untiring(), foreign}
	return []User{g.requester(), g.executors(t.Executors), g.tracker(), g.notifier(), g.provision(t)}
}

// grants makes users.
type grants struct {
	durables map[string][]string // by stream
	untiring []string            // streams whose durables deliver for ever
	foreign  []string            // durables of BACKUP_EVENTS that are no service's
}

// durables are the names of what t makes.
func (t Topology) durables() map[string][]string {
	out := map[string][]string{}
	for stream, list := range t.consumers() {
		for _, c := range list {
			out[stream] = append(out[stream], c.Durable)
		}
	}
	return out
}

// untiring are the streams of which no message is ever given up.
func (t Topology) untiring() []string {
	var out []string
	for stream, list := range t.consumers() {
		if !slices.ContainsFunc(list, func(c jetstream.ConsumerConfig) bool { return c.MaxDeliver > 0 }) {
			out = append(out, stream)
		}
	}
	return out
}

func (g grants) requester() User {
	u := service(RequesterUser, "requester", events.ByRequester, "*")
	u.publish(ReplyRoot+".>", timerRoot+".>",
		events.CommandRoot+".>",                                                 // a command that is given to its consumer again
		"$JS.API.STREAM.INFO."+TimerStream, "$JS.API.STREAM.PURGE."+TimerStream, // a timer that is taken back
		"$JS.API.STREAM.INFO."+DeadLetterStream, "$JS.API.STREAM.MSG.GET."+DeadLetterStream,
		directGet+EventStream+"."+events.AllEvents)
	g.reads(&u, EventStream, events.AllEvents, SchedulerDurable)
	g.reads(&u, ProgressStream, events.AllProgress)
	u.consumes(CommandStream, RequesterDurable)
	u.consumes(TimerStream, TicksDurable)
	return u
}

func (g grants) executors(providers []string) User {
	u := User{Name: ExecutorsUser}
	u.publish("$JS.API.STREAM.INFO." + EventStream)
	for _, p := range providers {
		u.publish(emitted(events.ByExecutor, p)...)
		u.publish(events.ProgressRoot+".*."+p+".>", events.DeadLetterRoot+"."+ExecutorDurable(p)+".>",
			directGet+EventStream+"."+events.EventRoot+".*."+p+".>")
		u.consumes(EventStream, ExecutorDurable(p))
		u.hear(events.CancelFilter(p))
	}
	// Executors ask each other whether they still work.
	u.publish(workingRoot+".*", InboxPrefix(ExecutorsUser)+".>")
	u.hear(workingRoot+".*", InboxPrefix(ExecutorsUser)+".>")
	return u
}

func (g grants) tracker() User {
	u := service(TrackerUser, "tracker", "", "")
	u.publish("$JS.API.STREAM.PURGE."+EventStream, directGet+EventStream+"."+events.AllEvents,
		events.DeadLetterRoot+".*.*."+MaxDeliveries) // of messages that others died of
	g.reads(&u, EventStream, events.AllEvents, TrackerDurable)
	u.consumes(ProgressStream, ProgressDurable)
	for _, stream := range slices.Sorted(maps.Keys(g.durables)) {
		switch {
		case slices.Contains(g.untiring, stream):
			continue
		case stream == CommandStream:
			u.publish("$JS.API.STREAM.MSG.GET." + stream)
		default:
			u.publish(directGet + stream)
		}
		u.publish("$JS.API.STREAM.INFO." + stream)
	}
	u.hear(advisoryRoot + ".>")
	return u
}

func (g grants) notifier() User {
	u := service(NotifierUser, "notifier", events.ByNotifier, "")
	u.publish(directGet+EventStream, // by sequence
		directGet+EventStream+"."+events.EventRoot+".*._._.>") // what it appended itself
	g.reads(&u, EventStream, events.AllEvents, NotifierDurable)
	rows := DeliveryLogRoot + ".>"
	u.publish(rows, directGet+DeliveryLogStream+"."+rows)
	g.reads(&u, DeliveryLogStream, rows)
	for _, bucket := range []string{SubscriptionBucket, NotifierStateBucket} {
		stream, keys := bucketStream(bucket), keyRoot(bucket)+">"
		u.publish("$JS.API.STREAM.INFO."+stream, keys, directGet+stream+"."+keys,
			// A watch is a consumer that delivers; its flow is answered for.
			consumerAPI+"CREATE."+stream+".*."+keys, consumerAPI+"DELETE."+stream+".*", "$JS.FC."+stream+".>")
	}
	return u
}

func (g grants) provision(t Topology) User {
	u := User{Name: ProvisionUser}
	var streams []string
	for _, s := range t.streams(LogState{}) {
		streams = append(streams, s.Name)
	}
	streams = append(streams, bucketStream(SubscriptionBucket), bucketStream(NotifierStateBucket))
	for _, s := range streams {
		for _, call := range []string{"INFO.", "CREATE.", "UPDATE."} {
			u.publish("$JS.API.STREAM." + call + s)
		}
	}
	for _, s := range slices.Sorted(maps.Keys(g.durables)) {
		u.publish(consumerAPI+"CREATE."+s+".>", consumerAPI+"DELETE."+s+".*")
	}
	u.publish("$JS.API.INFO", consumerAPI+"LIST."+EventStream) // the client asks for the first when it makes a bucket
	u.hear(InboxPrefix(ProvisionUser) + ".>")
	return u
}

// service is a user with what it emits, its dead letters and its inbox; empty provider: it names none.
func service(name, letters string, who events.Emitter, provider string) User {
	u := User{Name: name}
	u.publish(emitted(who, provider)...)
	u.publish(events.DeadLetterRoot + "." + letters + ".>")
	u.hear(InboxPrefix(name) + ".>")
	return u
}

// emitted are the subjects of what an emitter appends about instances of a provider.
func emitted(who events.Emitter, provider string) []string {
	var out []string
	for _, e := range events.EmittedBy(who) {
		place := provider + ".*"
		switch e.Entity {
		case events.Requests, events.Subscriptions, events.Deliveries:
			place = "_._"
		}
		head := events.EventRoot + ".*." + place + "." + string(e.Entity) + ".*."
		if e.Steps == nil {
			out = append(out, head+"*")
		}
		for _, s := range e.Steps {
			if s != events.ProgressStep { // has subjects of its own
				out = append(out, head+string(s))
			}
		}
	}
	return out
}

// consumes lets a user take messages from a durable.
func (u *User) consumes(stream, durable string) {
	u.publish(consumerAPI+"INFO."+stream+"."+durable, consumerAPI+"MSG.NEXT."+stream+"."+durable, "$JS.ACK."+stream+"."+durable+".>")
}

// reads lets a user read a stream through consumers that it makes and removes, and take from durables of its own. Their
// names are random and a wildcard stands for whole tokens only, so all durables are taken out again.
func (g grants) reads(u *User, stream, filter string, own ...string) {
	u.publish("$JS.API.STREAM.INFO."+stream, consumerAPI+"CREATE."+stream+".*."+filter, consumerAPI+"INFO."+stream+".*",
		consumerAPI+"MSG.NEXT."+stream+".*", consumerAPI+"DELETE."+stream+".*")
	durables := g.durables[stream]
	if stream == EventStream {
		durables = slices.Concat(durables, g.foreign)
	}
	for _, d := range durables {
		u.Forbidden = append(u.Forbidden, consumerAPI+"CREATE."+stream+"."+d+".>", consumerAPI+"DELETE."+stream+"."+d)
		if slices.Contains(own, d) {
			u.publish("$JS.ACK." + stream + "." + d + ".>")
			continue
		}
		u.Forbidden = append(u.Forbidden, consumerAPI+"INFO."+stream+"."+d, consumerAPI+"MSG.NEXT."+stream+"."+d)
	}
}

// publish adds what is not there yet.
func (u *User) publish(subjects ...string) {
	for _, s := range subjects {
		if !slices.Contains(u.Publish, s) {
			u.Publish = append(u.Publish, s)
		}
	}
}

func (u *User) hear(subjects ...string) { u.Subscribe = append(u.Subscribe, subjects...) }
