package delivery

import "net/http"

// Outcome is the word for what an attempt came to (events.md 7.8); it is all that users see.
type Outcome string

// The words of events.md 7.8.
const (
	Success         Outcome = "SUCCESS"
	Gone            Outcome = "GONE"
	PermanentStatus Outcome = "PERMANENT_STATUS"
	Throttled       Outcome = "THROTTLED"
	Redirect        Outcome = "REDIRECT"
	HTTPError       Outcome = "HTTP_ERROR"
	Timeout         Outcome = "TIMEOUT"
	DNSFailure      Outcome = "DNS_FAILURE"
	ConnectFailure  Outcome = "CONNECT_FAILURE"
	TLSFailure      Outcome = "TLS_FAILURE"
	Reset           Outcome = "RESET"
	ProtocolError   Outcome = "PROTOCOL_ERROR"
	BlockedAddress  Outcome = "BLOCKED_ADDRESS"
)

// Outcomes are all of them, for a counter that shows each from the start.
func Outcomes() []Outcome {
	return []Outcome{Success, Gone, PermanentStatus, Throttled, Redirect, HTTPError, Timeout,
		DNSFailure, ConnectFailure, TLSFailure, Reset, ProtocolError, BlockedAddress}
}

// outcome is the row of the table of events.md 7.8 that an answer falls into.
func (a Answer) outcome() Outcome {
	switch s := a.Status; {
	case a.Judged != "":
		return a.Judged
	case s == 0 && a.Failure == "":
		return ProtocolError
	case s == 0:
		return a.Failure
	case s >= 200 && s < 300:
		return Success
	case s == http.StatusGone:
		return Gone
	case s == http.StatusRequestEntityTooLarge, s == http.StatusUnsupportedMediaType:
		return PermanentStatus
	case s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable:
		return Throttled
	case s >= 300 && s < 400:
		return Redirect
	case s >= 400:
		return HTTPError
	}
	return ProtocolError // 1xx ends no exchange
}
