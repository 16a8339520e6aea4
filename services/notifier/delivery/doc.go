// Package delivery brings events to the sinks of subscriptions (events.md 7). It knows neither NATS nor
// HTTP: what it needs of them are the interfaces Log, Events, Keeper and Endpoint.
//
//	event ──▶ Match: a delivery per subscription that wants it ──▶ lane of the subscription
//	                                                                         │
//	   ┌────── pick: projects in turn, then their subscriptions ◀────────────┤
//	   │       not before the plan's time, Retry-After, the rate,            │ not ended soon, whatever holds it up:
//	   │       the circuit, the order                                        ▼ late
//	   └─▶ sign ──▶ send ──▶ judge ──▶ record: DELIVERED, RETRYING (back     record: PENDING
//	                                   into the lane), DEAD, SUPPRESSED
//
// An event is read and encoded once for all its subscriptions (letters); outcomes that come at the same time are
// stored in one round trip (recorder). A slot is held until the outcome is stored, so what may be sent twice after a
// crash is at most what was in flight.
//
// # Promise
//
// Every event that a subscription wants has a delivery, whose record ends DELIVERED, DEAD or SUPPRESSED. Its first
// record is that of its first outcome, or PENDING if that does not come soon (late). An event counts as matched
// when all its deliveries have a record (Matched): only then is it acknowledged and passed by the stored position, so
// what a crash takes from memory is matched again. What has no record is bounded: mostWaiting, what one event makes
// on top of that, and the requests that run; Match waits for room.
//
// A record says when the next attempt is due and which attempts there were; it is
// written after every attempt by compare-and-set, so an attempt is counted once and only if it was made:
// waiting for a circuit, a rate or an order uses none up. Each request carries the same webhook-id and the
// same bytes; timestamp and signature are the attempt's. The same delivery may be sent again after a 2xx
// (7.8): receivers drop what they have by webhook-id.
//
// # Who runs it
//
// One process at a time: it holds a lease (bus.KeyValue.Lead), and keeps order, rates and circuits in memory. What
// has to outlive it is stored: records in the log, Health by the Keeper. Who takes over loads the records from Floor on:
// those that are open, and those of events above the position, which are not made again when these are matched (Load).
// Before each request the lease is looked at (Held): a process that stood still and has lost it sends nothing that its
// successor sends too, but for what was on its way. Records that both write are decided by compare-and-set.
//
// # What happens on each failure
//
//	killed before the first record            the event is above the position: it is matched again
//	killed between a request and its record   one more is sent, with the same webhook-id and attempt number
//	killed between record and position        the event is matched again; its records are found by Load
//	stopped                                   requests that run may finish; what has no record is matched again
//	sink slow                                 it holds its own maxInFlight slots; others go on; its deliveries are PENDING soon
//	sink away                                 the circuit opens: one probe in 30 s, up to 15 min
//	bus away                                  finished attempts wait with their slot until they are recorded; Match waits
//	record stored, its answer lost            the next write of it finds it and takes it over (adopt)
//	a record cannot be written                it is tried again, less and less often; Matched stays below it
//	a record cannot be read                   reported: its delivery ends here, and is lost to whoever takes over
//	an event is in the log twice              if its first delivery has ended, one more is sent; its record stays as it was
//	lease lost without noticing               no request begins; no record of the successor is overwritten
//	a write of the one before lands late      who leads takes it over, or writes its outcome over it if that goes beyond it
//	subscription deleted, disabled, stopped   what waits or is put off ends SUPPRESSED; until that is stored Floor stays below it
//
// An event about a subscription or a delivery is never sent to the subscription that it is about, and
// makes no further event when it dies, so that two broken sinks cannot feed each other (7.9).
package delivery
