// Package e2e holds tests of the whole program: the real binary, killed and started again.
package e2e
