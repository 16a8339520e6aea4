// Package sink makes the requests to webhook sinks and decides which of them may be reached at all.
//
//	Rules.Parse   a sink's URL: scheme, host, port, form                (events.md 7.7.1, at configuration)
//	Rules.New     Webhook: one sink with connections of its own         (7.7.6)
//	Post          request ──▶ dial: resolve, judge every address, connect, TLS ──▶ answer   (7.7.2 to 7)
//
// The address that is dialled is the one that was judged: the name is resolved once per connection and the
// connection goes to the result, so a name that changes its mind in between changes nothing.
package sink
