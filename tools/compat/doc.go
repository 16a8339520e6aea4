// Package compat holds tests only: official clients of the clouds against our doors, and our storages against the
// emulators that need Node.
package compat
