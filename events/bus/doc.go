// Package bus carries events over NATS JetStream: it is everything that knows NATS (events.md 3.2 and 4).
//
//	             Append: read last, Decide, Check, publish against what was read
//	writers ───────────────────────────────────────────────▶ BACKUP_EVENTS
//	                                                           │ durables, made by Provision
//	  Subscriber + NewRouter  one event at a time, settled one by one   (executors)
//	  Batches                 what is waiting, acknowledged at once     (projector, notifier)
//	  Last, Scan, Tail        reading the log without a durable         (doors, rebuild, streams)
//	  Survey, Purge           what is old, and its end                  (janitor)
//	  Listen                  plain subscription, nothing is kept       (cancel requests)
//	KeyValue, Table           the newest value of a key or subject, by compare-and-set (notifier)
//	KeyValue.Lead             one active process of several             (notifier)
//	Users, WriteServerConfig  who may what, for the server              (operator)
//
// # Promise
//
// An event is stored at most once under its id, and only on top of the event that the writer decided on.
// Delivery to durables is at least once: every handler is idempotent. One message that cannot be handled
// never stops a consumer: it ends as a dead letter.
//
// # What happens on each failure
//
//	PubAck lost, line cut while appending   next round finds the event under its id: Appended.Repeat
//	another writer was faster               next round decides anew; ten lost rounds are ErrContended
//	server unreachable                      ErrUnavailable after five seconds; reconnects go on for ever
//	handler returns an error                redelivered after 1 s, 5 s, 15 s, 60 s, then 300 s
//	handler panics                          the same; the panic is the error
//	handler fails the last allowed time     dead letter max_deliveries, terminated
//	message cannot be understood (Refuse)   dead letter, terminated
//	process stops                           what is held is handed back at once
//	process dies                            what it held is redelivered after AckWait
//	process dies the last allowed time      the server tells of it (ListenExhausted): dead letter max_deliveries
//	what a Scan waits for is purged         it begins anew where it was, and ends
//	long work                               in-progress marks every third of AckWait keep the message
//	reader of a pinned durable dies         another takes over within about PinnedTTL (see Batches)
//
// A Bus, and everything that it hands out, is safe for concurrent use unless said otherwise.
package bus
