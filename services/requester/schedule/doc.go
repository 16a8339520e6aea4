// Package schedule makes backups due. It keeps no time itself: for every schedule two timers are armed in the
// bus, and whoever of the requesters gets a tick decides.
//
//	slot.{schedule}              the next due time has come, by its spread
//	deadline.{schedule}.{due}    the window of a due time has ended
//	retry.{schedule}.{due}       a slot that found its instance busy tries again
//	expire.{backup}              a backup's expiry has come
//	delete.{backup}              a deletion by policy that failed is tried again
//
// A slot is decided on exactly once, however often its tick comes and to whom: the id of its backup is a function
// of schedule and due time, and the log takes each step once (intake.Slot). The deadline is armed together with
// the slot, before it: a slot that nobody was there for is overdue all the same.
//
// A schedule's events arm its timers (Changed), a slot's tick arms the next. What was lost is armed again at the
// start of every requester, by comparing the schedules with what is armed (Reconcile).
package schedule
