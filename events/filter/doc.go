// Package filter decides by their attributes which events somebody wants: the dialects of events.md 7.2 and
// CESQL (7.3). Webhooks and the event stream share it. It looks at attributes only, never at data.
package filter
