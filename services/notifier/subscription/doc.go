// Package subscription is the webhook subscription (events.md 7.1): what a user says of it (Spec), all that is
// kept of it (Document), and where (Store).
//
// A document is sealed as a whole in a bucket of the bus; its public part is the aggregate `subscription` in the
// log. A change is stored in the bucket first, by compare-and-set, and then told by an event whose id is that of
// the change. Who finds a document whose event is missing, because its writer died in between, tells it.
package subscription
