// Package bustest runs a NATS server with JetStream inside a test, and breaks the line to it on request.
//
//	bus.Bus ──▶ proxy (Faults: drop, double, delay, reorder, cut) ──▶ server, file store in t.TempDir()
//
// The proxy understands NATS frames, so a fault meets whole messages and production code needs no hooks.
// Everything ends with the test.
package bustest
