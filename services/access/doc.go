// Package access says who may do what (design.md 5): the grants of the settings, and the tokens and pairs of keys that
// prove who asks. Each door reads the proof in its own dialect, asks here whose it is, and then for each permission by
// its own name. It grants nothing by itself: the zero Caller may do nothing.
//
// Some permissions give more than their name says, so grant them as what they are: backupbus.subscriptions.create shows
// every event of the project to a sink, backupbus.schedules.apply and what else makes schedules makes backups and by
// retention deletes them, backupbus.deadLetters.redrive does what somebody else once asked for, and
// backupbus.metrics.get shows the names of all projects and instances. Commands over NATS are not asked here: who may
// connect there is NATS's to say.
//
// Without a grant every caller is Anybody, who may do everything: that is for the loopback only. With one, every door
// asks; what a grant does not name is refused.
package access
