package delivery

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// W4: the pauses of events.md 7.8 within a fifth.
func TestContractPlan_IsThatOfTheContract(t *testing.T) {
	t.Parallel()
	p := ContractPlan()
	var got []string
	sum := time.Duration(0)
	for n := 1; n < p.attempts(); n++ {
		got = append(got, p.delay(n, 0.5).String())
		sum += p.delay(n, 0.5)
		if low := p.delay(n, 0); low != p.Delays[n-1]*8/10 {
			t.Errorf("least pause after attempt %d: %s", n, low)
		}
		if high := p.delay(n, 1); high != p.Delays[n-1]*12/10 {
			t.Errorf("longest pause after attempt %d: %s", n, high)
		}
	}
	want := []string{"5s", "30s", "2m0s", "10m0s", "30m0s", "2h0m0s", "5h0m0s", "10h0m0s", "14h0m0s", "20h0m0s", "24h0m0s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if p.attempts() != 12 || sum != 75*time.Hour+42*time.Minute+35*time.Second {
		t.Errorf("%d attempts in %s", p.attempts(), sum)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"120": 2 * time.Minute, " 7 ": 7 * time.Second, "0": 0, "": 0, "soon": 0, "-5": 0, "1.5": 0, "0x10": 0,
		"86400": 24 * time.Hour, "86401": 24 * time.Hour, "9223372036854775807": 24 * time.Hour, "99999999999999999999": 0,
		noon.Add(time.Hour).Format(http.TimeFormat):       time.Hour,
		noon.Add(-time.Hour).Format(http.TimeFormat):      0,
		noon.Add(24 * 30 * time.Hour).Format(time.RFC850): 24 * time.Hour,
	} {
		if got := retryAfter(header, noon); got != want {
			t.Errorf("%q: want %s, got %s", header, want, got)
		}
	}
}

// The table of events.md 7.8, row by row.
func TestJudge_Table(t *testing.T) {
	t.Parallel()
	const plan = 5 * time.Second // after the first attempt, with r = 0.5
	answered := func(status int) Answer { return Answer{Status: status} }
	for _, c := range []struct {
		name    string
		answer  Answer
		wait    time.Duration
		number  int
		age     time.Duration
		outcome Outcome
		want    verdict
	}{
		{"200", answered(200), 0, 1, 0, Success, verdict{state: Delivered}},
		{"204", answered(204), 0, 1, 0, Success, verdict{state: Delivered}},
		{"2xx of the last attempt", answered(299), 0, 12, 95 * time.Hour, Success, verdict{state: Delivered}},
		{"410", answered(410), 0, 1, 0, Gone, verdict{state: Dead, reason: "GONE"}},
		{"413", answered(413), 0, 1, 0, PermanentStatus, verdict{state: Dead, reason: "PERMANENT_STATUS"}},
		{"415", answered(415), 0, 1, 0, PermanentStatus, verdict{state: Dead, reason: "PERMANENT_STATUS"}},
		{"429", answered(429), 0, 1, 0, Throttled, verdict{state: Retrying, next: time.Minute}},
		{"429 with Retry-After", answered(429), 2 * time.Minute, 1, 0, Throttled, verdict{state: Retrying, next: 2 * time.Minute}},
		{"503 with a short Retry-After", answered(503), time.Second, 1, 0, Throttled, verdict{state: Retrying, next: plan}},
		{"503 late in the plan", answered(503), 0, 4, 0, Throttled, verdict{state: Retrying, next: 10 * time.Minute}},
		{"302", answered(302), 0, 1, 0, Redirect, verdict{state: Retrying, next: plan}},
		{"304", answered(304), 0, 1, 0, Redirect, verdict{state: Retrying, next: plan}},
		{"404", answered(404), 0, 1, 0, HTTPError, verdict{state: Retrying, next: plan}},
		{"500", answered(500), 0, 2, 0, HTTPError, verdict{state: Retrying, next: 30 * time.Second}},
		{"500 with Retry-After", answered(500), time.Hour, 1, 0, HTTPError, verdict{state: Retrying, next: time.Hour}},
		{"101", answered(101), 0, 1, 0, ProtocolError, verdict{state: Retrying, next: plan}},
		{"timeout", Answer{Failure: Timeout}, 0, 1, 0, Timeout, verdict{state: Retrying, next: time.Minute}},
		{"blocked", Answer{Failure: BlockedAddress}, 0, 1, 0, BlockedAddress, verdict{state: Retrying, next: plan}},
		{"nothing said", Answer{}, 0, 1, 0, ProtocolError, verdict{state: Retrying, next: plan}},
		{"the last attempt", answered(500), 0, 12, 0, HTTPError, verdict{state: Dead, reason: "EXHAUSTED"}},
		{"counted past the last", answered(500), 0, 15, 0, HTTPError, verdict{state: Dead, reason: "EXHAUSTED"}},
		{"96 h over", answered(500), 0, 3, 97 * time.Hour, HTTPError, verdict{state: Dead, reason: "EXPIRED"}},
		{"96 h over before the next", answered(503), 20 * time.Hour, 10, 80 * time.Hour, Throttled, verdict{state: Dead, reason: "EXPIRED"}},
	} {
		a := attempt{number: c.number, started: noon.Add(c.age), answer: c.answer, outcome: c.answer.outcome(), wait: c.wait}
		if a.outcome != c.outcome {
			t.Errorf("%s: want %s, got %s", c.name, c.outcome, a.outcome)
		}
		got := ContractPlan().judge(a, noon, 0.5)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(verdict{})); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
