// Package delivery brings events to the sinks of subscriptions (events.md 7). It knows neither NATS nor
// HTTP: what it needs of them are the interfaces Queue, Appender and Endpoint.
//
//	BACKUP_EVENTS ──▶ Match ──▶ Queue.Put, one delivery per subscription ──▶ BACKUP_DELIVERIES
//	                  match                                                        │
//	          ┌────────────────────────────────────────────────────────────────────┘
//	          └─▶ Deliver:  admit ──▶ sign ──▶ send ──▶ record ──▶ nil            DELIVERED, or DEAD
//	                          │                            │                     (delivery.dead_lettered)
//	                          └── Later: no request made   └── Later: RETRYING, by the plan of 7.8
//
// # Promise
//
// Every event that a subscription wants is sent to its sink at least once, until the sink answers 2xx or
// the delivery is DEAD; a DEAD one is told by an event of its own. Each request carries the same
// webhook-id and the same bytes; timestamp and signature are the attempt's. The same delivery may be sent
// again after a 2xx, concurrently and in other order (7.8). A delivery dies only after a request that was
// made in the very Deliver that gives it up.
//
// # What happens on each failure
//
//	stopped between Put and the event's ack   the event comes again and makes the same delivery ids, which
//	                                          the stream drops for ten minutes; after that it is sent twice
//	stopped during a request                  the request may finish for ten seconds; else one more is sent
//	killed during a request                   one more is sent
//	sink slow, or all its slots taken         up to its share of the window waits here, the rest is put off
//	                                          for 1 s, 2 s … 32 s; other subscriptions go on
//	sink says Retry-After                     none of the subscription's deliveries is sent before that
//	bus away when a delivery has died         the delivery stays and is sent once more; the event's id is
//	                                          the same, so it is stored once
//	subscription no longer configured         its deliveries end without a request, one log line each
//	delivery cannot be read                   events.ErrUnreadable: for a dead letter of the bus
//
// # Counting attempts
//
// The number of an attempt is how often the queue handed the delivery out, less how often it was put off
// without a request. The second figure is kept in memory: after a restart, put-offs from before count as
// attempts, as does every delivery that the stopped process held, so an endpoint may get fewer than twelve
// requests, never none. A pause asked for by Retry-After is forgotten by a restart; the next answer
// repeats it. The 96 hours count from the moment the event was matched, which travels with the delivery:
// the first attempt is later by what it waited for a slot.
//
// An event about a subscription or a delivery is never sent to the subscription that it is about, and
// makes no further event when it dies, so that two broken sinks cannot feed each other (7.9).
package delivery
