// Package events is the language of the bus: CloudEvents with typed payloads, deterministic ids, and the
// subjects on which they travel. It has no clock, no connection and no state; the contract behind it is
// events.md.
//
//	aggregate   type (dev.backupbus.….v1)      appended by           read by
//	backup      backup.requested …_requested    requester             executors, tracker, notifier
//	            backup.started … deleted        executors             tracker, notifier
//	            backup.progress (own stream)    executors             tracker
//	restore     restore.requested               requester             executors, tracker, notifier
//	            restore.started … failed        executors             tracker, notifier
//	            restore.progress (own stream)   executors             tracker
//	instance    instance.registered, updated    requester             tracker, notifier, executors
//	subscription subscription.created … disabled notifier             notifier
//	delivery    delivery.dead_lettered          notifier              tracker, notifier
//	request     request.accepted, rejected      requester             notifier
//	command     command.backup.create … (own    outsiders             requester
//	            stream, events.md 5)
//
// Which step may follow which is in package lifecycle; how events reach JetStream in package bus.
package events
