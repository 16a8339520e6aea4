// Package delivery brings events to the sinks of subscriptions (events.md 7). It knows neither NATS nor
// HTTP: what it needs of them are the interfaces Log, Events, Keeper and Endpoint.
//
//	event ──▶ Match: a PENDING record per subscription that wants it, stored ──▶ lane of the subscription
//	                                                                                  │
//	   ┌───────────── pick: projects in turn, then their subscriptions ◀──────────────┘
//	   │              not before the plan's time, Retry-After, the rate, the circuit, the order
//	   └─▶ sign ──▶ send ──▶ judge ──▶ record ──▶ DELIVERED, RETRYING (back into the lane), DEAD, SUPPRESSED
//
// An event is read and encoded once for all its subscriptions (letters); outcomes that come at the same time are
// stored in one round trip (recorder). A slot is held until the outcome is stored, so what may be sent twice after a
// crash is at most what was in flight.
//
// # Promise
//
// Every event that a subscription wants has a record before Match returns, and the record ends DELIVERED,
// DEAD or SUPPRESSED. A record says when the next attempt is due and which attempts there were; it is
// written after every attempt by compare-and-set, so an attempt is counted once and only if it was made:
// waiting for a circuit, a rate or an order uses none up. Each request carries the same webhook-id and the
// same bytes; timestamp and signature are the attempt's. The same delivery may be sent again after a 2xx
// (7.8): receivers drop what they have by webhook-id.
//
// # Who runs it
//
// One process at a time: it holds a lease (bus.KeyValue.Lead), loads the records that are open, and keeps
// order, rates and circuits in memory. What has to outlive it is stored: records in the log, Health by the
// Keeper. A process that has lost its lease without noticing is refused by the compare-and-set of the
// first record that it writes of those that were there; a new one that it stores first is taken in by its successor,
// and may be sent by both.
//
// # What happens on each failure
//
//	killed between a request and its record   one more is sent, with the same webhook-id and attempt number
//	killed between record and checkpoint      the event is matched again; its records are there already
//	sink slow                                 it holds its own maxInFlight slots; others go on
//	sink away                                 the circuit opens: one probe in 30 s, up to 15 min
//	bus away                                  finished attempts wait with their slot until they are recorded
//	record stored, its answer lost            the next Match finds and takes it in
//	subscription deleted or disabled          what waits ends SUPPRESSED; until that is stored Floor stays below it
//
// An event about a subscription or a delivery is never sent to the subscription that it is about, and
// makes no further event when it dies, so that two broken sinks cannot feed each other (7.9).
package delivery
