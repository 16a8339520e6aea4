// Package command is the door for requests that are events themselves (events.md 5): a CloudEvent that says what is
// wanted, published on a command subject or posted to the native API.
//
//	BACKUP_COMMANDS ─▶ Door ──────┐                    ┌─▶ request.accepted, once per request
//	                              ├─▶ Evaluator ─▶ intake ─▶ backup.requested … decides
//	POST …/events ─▶ native door ─┘                    └─▶ request.rejected, once per rejected message
//
// # Promise
//
// The event that intake appends decides; what is told of it comes after. A Door that dies in between is given the
// message again, finds what was made, and tells of it then. A repeat (same source, id and content) makes nothing and
// gets the copy of its outcome again; another content under the same source and id is IDEMPOTENCY_CONFLICT.
//
// # What happens on each failure
//
//	no CloudEvent                  request.rejected MALFORMED_EVENT, dead letter unreadable
//	looks like a credential        request.rejected FORBIDDEN_CONTENT, dead letter without the content
//	refused by rules or state      request.rejected with intake's reason
//	log or view are away           the message comes again; after ten times INTERNAL, dead letter internal
//	the request was accepted, and  request.rejected under an id of the message's own: the life of the first request
//	  this message is refused      is over (events.md 3.1), and it is untouched
package command
