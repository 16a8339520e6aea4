// Package subscription is the resource of events.md 7.1 as the notifier's configuration writes it: what is
// wanted, where it goes, within which bounds. It sends nothing.
package subscription
