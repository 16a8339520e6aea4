// Package compat holds tests only: official clients of the clouds against our doors.
package compat
