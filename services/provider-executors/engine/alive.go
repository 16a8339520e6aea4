package engine

import (
	"context"

	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Alive is how an engine says that it goes on where it moves no bytes: while it hashes rows, say. Take the
// function once, from the ctx that a method of Engine or a Part's Stream was given, and call it as often as you
// like. It moves the stall timer; the deadline bounds the work all the same.
//
//	alive := engine.Alive(ctx)
//	for rows.Next() {
//		alive()
//	}
//
// Bytes that pass through Stream's writer or Copy.Unpack count by themselves.
func Alive(ctx context.Context) func() { return executor.Alive(ctx) }
