package delivery

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backupbus/backupbus/events"
)

// told is an event of the bus about a subscription or one of its deliveries.
func (w *world) told(p events.Payload, step events.Step) events.Stored {
	w.t.Helper()
	a := p.Aggregate()
	ev, err := events.New("bus.local", p, step, events.EventID(a.ID, a.Entity, step, 1), 1, time.Now(), events.Cause{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	seq := uint64(len(w.events) + 1)
	w.events[seq] = ev
	return events.Stored{Event: ev, Seq: seq}
}

// What the bus tells about a subscription goes to the project's other ones only, and when that fails too, nothing
// further is told (events.md 7.9).
func TestMatch_OwnEventsGoToTheOthersAndMakeNone(t *testing.T) {
	in(t, func(t *testing.T) {
		mine, others, foreign := always(413), always(413), always(200)
		a, b := subscribe(t, "shop", "a", mine), subscribe(t, "shop", "b", others)
		w := newWorld(t, a, b, subscribe(t, "elsewhere", "c", foreign))
		defer w.stop()
		dead := events.DeadDelivery{Project: "shop", DeliveryID: "dl_aaaaaaaaaaaaaaaaaaaaaaaaaa", SubscriptionID: a.ID, SinkOrigin: "https://hooks.example.com:443",
			EventID: "bk_a-requested", EventType: "dev.backupbus.backup.requested.v1", EventSource: "//bus.local/x", EventSequence: "0000000001",
			Attempts: 12, FirstAttemptTime: events.At(time.Now()), LastAttemptTime: events.At(time.Now()), LastOutcome: "TIMEOUT", Reason: Exhausted}
		failing := events.Subscription{Project: "shop", SubscriptionID: a.ID, Generation: 1, Status: "FAILING", SinkOrigin: "https://hooks.example.com:443", Reason: Failing}
		told := []events.Stored{w.told(dead, events.DeadLettered), w.told(failing, events.Failing)}
		if err := w.Match(t.Context(), told...); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if n, m := len(mine.requests()), len(foreign.requests()); n != 0 || m != 0 {
			t.Errorf("%d requests to the one it is about, %d to another project's", n, m)
		}
		if diff := cmp.Diff(map[string]int{"DEAD PERMANENT_STATUS": 2}, w.states()); diff != "" || len(others.requests()) != 2 {
			t.Errorf("%d requests to the other one: %s", len(others.requests()), diff)
		}
		if len(w.dead) != 0 {
			t.Errorf("told of a delivery that tells: %+v", w.dead)
		}
	})
}

// Progress never goes to webhooks, whatever a subscription wants (events.md 7.1).
func TestMatch_ProgressIsNeverDelivered(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		w := newWorld(t, subscribe(t, "shop", "a", e))
		defer w.stop()
		ev := w.event("bk_a", 1)
		ev.Type = "dev.backupbus.backup.progress.v1"
		if err := w.Match(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if len(w.list()) != 0 || len(e.requests()) != 0 {
			t.Errorf("%v, %d requests", w.states(), len(e.requests()))
		}
	})
}

func TestAbout_TellsOnlyTheSubscriptionItself(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]bool{
		"subscriptions/su_a": true, "subscriptions/su_a/deliveries/dl_x": true,
		"subscriptions/su_ab": false, "subscriptions/su_b": false, "instances/su_a": false, "": false,
	} {
		if got := about(events.Event{Subject: subject}, "su_a"); got != want {
			t.Errorf("%q: %v", subject, got)
		}
	}
}

// Matched twice, in one call or after a lost answer, an event has one delivery.
func TestMatch_TwiceIsOnce(t *testing.T) {
	in(t, func(t *testing.T) {
		e := always(200)
		w := newWorld(t, subscribe(t, "shop", "a", e))
		defer w.stop()
		ev := w.event("bk_a", 1)
		w.match(ev, ev)
		w.match(ev)
		pass(time.Hour)
		if n := len(e.requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
		w.accounted(0)
	})
}

// An event that is in the log twice is sent once more if its first delivery has ended: what became of that stands.
func TestMatch_RepeatOfWhatHasEndedChangesNoRecord(t *testing.T) {
	in(t, func(t *testing.T) {
		answers := []int{200, 503}
		e := &endpoint{}
		e.answer = func(Request) Answer { return Answer{Status: answers[len(e.requests())-1]} }
		w := newWorld(t, subscribe(t, "shop", "a", e))
		defer w.stop()
		ev := w.event("bk_a", 1)
		w.match(ev)
		pass(time.Minute)
		before := w.list()
		ev.Seq++
		w.match(ev)
		pass(time.Hour)
		if diff := cmp.Diff(before, w.list()); diff != "" || len(e.requests()) != 2 || w.Matched(2) != 2 {
			t.Errorf("%d requests, matched up to %d: %s", len(e.requests()), w.Matched(2), diff)
		}
		w.accounted(0)
	})
}

func TestCircuit_Admit(t *testing.T) {
	t.Parallel()
	later := noon.Add(30 * time.Second)
	for name, c := range map[string]struct {
		h       Health
		probing bool
		from    time.Time
		ok      bool
	}{
		"closed":                     {Health{}, false, time.Time{}, true},
		"closed, requests run":       {Health{}, true, time.Time{}, true},
		"open":                       {Health{OpenFor: firstOpen, OpenUntil: later}, false, later, true},
		"open, while the probe runs": {Health{OpenFor: firstOpen, OpenUntil: later}, true, later, false},
	} {
		k := circuit{probing: c.probing}
		if from, ok := k.admit(&c.h); !from.Equal(c.from) || ok != c.ok {
			t.Errorf("%s: %s, %v", name, from, ok)
		}
	}
}

// Nothing is admitted before the latest of plan, pause, circuit and rate, nor above maxInFlight.
func TestLane_NextIsTheLatestOfAllReasonsToWait(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	for name, c := range map[string]struct {
		change func(l *lane)
		want   time.Time
		none   bool
	}{
		"at once":     {func(*lane) {}, noon, false},
		"plan":        {func(l *lane) { l.plain.first().due = at(5) }, at(5), false},
		"Retry-After": {func(l *lane) { l.health.PausedUntil = at(7) }, at(7), false},
		"circuit":     {func(l *lane) { l.health.OpenFor, l.health.OpenUntil = firstOpen, at(9) }, at(9), false},
		"rate":        {func(l *lane) { l.rate.tokens = 0 }, at(6).Add(time.Nanosecond), false},
		"full":        {func(l *lane) { l.inFlight["dl_y"] = &item{} }, noon, true},
		"disabled":    {func(l *lane) { l.sub.Disabled = true }, noon, true},
		"stopped":     {func(l *lane) { l.stopped = IsGone }, noon, true},
		"empty":       {func(l *lane) { l.plain.take() }, noon, true},
	} {
		l := newLane("shop")
		l.become(Subscription{MaxInFlight: 1, RatePerMinute: 10}, noon)
		l.add(&item{Record: Record{DeliveryID: "dl_x"}, due: noon})
		c.change(l)
		if i, from := l.next(noon); (i == nil) != c.none || i != nil && !from.Equal(c.want) {
			t.Errorf("%s: %v at %s", name, i != nil, from)
		}
	}
}

// Of what is at hand the events used least lately go first; they are read again.
func TestLetters_AreBoundedAndReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	s := newLetters(w)
	first := w.event("bk_a", 0)
	s.keep(first.Seq, first.Event)
	for n := range 1000 {
		ev := w.event("bk_a", n+1)
		ev.Data = append(ev.Data, make([]byte, 40<<10)...)
		s.keep(ev.Seq, ev.Event)
	}
	if s.size > lettersAtHand || len(s.bySeq) != s.order.Len() || s.bySeq[first.Seq] != nil {
		t.Errorf("%d bytes of %d events", s.size, len(s.bySeq))
	}
	again, err := s.at(t.Context(), first.Seq)
	if err != nil || again.ID != first.ID {
		t.Errorf("%v, %v", again, err)
	}
	e := always(200)
	one, _ := again.body(e)
	two, _ := again.body(e)
	if len(one) == 0 || &one[0] != &two[0] {
		t.Error("encoded twice")
	}
}
