package live

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openBus(t *testing.T) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Options{Dir: t.TempDir(), Durability: bus.DurabilityProcess, DiskReserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

func message(source, kind string, c uint64, n int, properties map[string]any) bus.EventMessage {
	p := record.ProcessedEvent{
		Event: sdk.Event{ID: fmt.Sprintf("%s-%d", kind, n), Type: kind, Source: source, Valid: true, Profile: "p",
			Time: time.Now(), Received: time.Now(), Properties: sdk.NewObject(properties)},
		Session: &sdk.Session{ID: "s", Events: int64(n)},
	}
	return bus.EventMessage{Partition: 0, C: c, N: n, Type: kind, Data: p.AppendJSON(nil)}
}

// publish stores events of a type with n from 0 on.
func publish(t *testing.T, b *bus.Bus, c uint64, kind string, count int) {
	t.Helper()
	publishOf(t, b, "shop", c, kind, count)
}

func publishOf(t *testing.T, b *bus.Bus, source string, c uint64, kind string, count int) {
	t.Helper()
	messages := make([]bus.EventMessage, count)
	for n := range messages {
		messages[n] = message(source, kind, c, n, map[string]any{"n": int64(n), "segment": "loyal"})
	}
	if err := b.PublishEvents(t.Context(), messages); err != nil {
		t.Error(err)
	}
}

// A listener keeps what it is pushed.
type listener struct {
	mu     sync.Mutex
	room   int           // frames that it takes, -1: any number
	delay  time.Duration // the longest that it takes for room
	frames [][]byte
	told   int
	lost   string
	more   chan struct{}
}

func newListener(room int) *listener { return &listener{room: room, more: make(chan struct{}, 1)} }

func (l *listener) Push(frame []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told++
	select {
	case l.more <- struct{}{}:
	default:
	}
	if l.room == len(l.frames) {
		return false
	}
	l.frames = append(l.frames, frame)
	return true
}

func (l *listener) Room(ctx context.Context, _ time.Duration) bool {
	if l.delay > 0 && rand.IntN(10) == 0 {
		pause(ctx, rand.N(l.delay))
	}
	return ctx.Err() == nil && rand.IntN(500) > 0 // else once more
}

func (l *listener) Lost(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = why
}

// A pushed is what a frame says.
type pushed struct {
	channel string
	offset  uint64
	data    map[string]any
}

// heard waits until the listener was told n times, and returns what it took.
func (l *listener) heard(t *testing.T, n int) (list []pushed) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		told := l.told
		l.mu.Unlock()
		if told >= n {
			break
		}
		select {
		case <-l.more:
		case <-late:
			t.Fatalf("heard of %d events, want %d", told, n)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, frame := range l.frames {
		m, err := sdk.ParseObject(frame)
		if err != nil {
			t.Fatalf("%s: %v", frame, err)
		}
		push := m["push"].(map[string]any)
		data, _ := push["data"].(map[string]any)
		list = append(list, pushed{push["channel"].(string), uint64(push["offset"].(int64)), data})
	}
	return list
}

// await returns after the listener was told n times, or after a while.
func (l *listener) await(n int, most time.Duration) {
	for late := time.After(most); ; {
		l.mu.Lock()
		told := l.told
		l.mu.Unlock()
		if told >= n {
			return
		}
		select {
		case <-l.more:
		case <-late:
			return
		}
	}
}

func (l *listener) ids(t *testing.T, n int) (ids []string) {
	t.Helper()
	for _, p := range l.heard(t, n) {
		ids = append(ids, p.data["id"].(string))
	}
	return ids
}

func filter(t *testing.T, source string) *condition.Program {
	t.Helper()
	p, err := condition.Compile(source, FilterScope)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func subscribe(t *testing.T, l *Live, channel string, f *condition.Program, from *Position, to Sink) (*Subscription, Start) {
	t.Helper()
	c, err := ParseChannel(channel)
	if err != nil {
		t.Fatal(err)
	}
	var start Start
	s, err := l.Subscribe(t.Context(), Request{Channel: c, Filter: f, Recover: from}, to, func(s Start) { start = s })
	if err != nil {
		t.Fatal(err)
	}
	return s, start
}

// A filter that fails on an event does not hold for it, and each time is counted.
func TestFailedFiltersAreCounted(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	all, none := newListener(-1), newListener(-1)
	var subs []*Subscription
	for f, to := range map[*condition.Program]*listener{nil: all, filter(t, `lower(event.properties.n) == "a"`): none} {
		sub, _ := subscribe(t, l, "events", f, nil, to)
		subs = append(subs, sub)
	}
	publish(t, b, 1, "now", 4)
	if got := all.ids(t, 4); len(got) != 4 {
		t.Errorf("heard %v", got)
	}
	for _, sub := range subs { // the last event has been handed to all then
		sub.Close()
	}
	var counted strings.Builder
	if l.Metrics(&counted); !strings.Contains(counted.String(), "tributary_live_filter_errors_total 4\n") {
		t.Errorf("%s, want 4 failures", counted.String())
	}
	if got := none.ids(t, 0); len(got) != 0 {
		t.Errorf("a filter that failed let %v pass", got)
	}
}

func TestSubscribe(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	publish(t, b, 1, "past", 3)
	all, odd, recent, none := newListener(-1), newListener(-1), newListener(-1), newListener(-1)
	var subs []*Subscription
	for _, s := range []struct {
		filter   *condition.Program
		listener *listener
	}{
		{nil, all},
		{filter(t, `event.properties.n % 2 == 1 && event.type == "now"`), odd},
		{filter(t, `event.time > ago("1h") && session.events > 1`), recent},
		{filter(t, `event.properties.missing > 3`), none},
	} {
		sub, start := subscribe(t, l, "events", s.filter, nil, s.listener)
		if start.Offset != 3 || start.Recovered || start.Epoch == "" {
			t.Errorf("begins at %+v", start)
		}
		subs = append(subs, sub)
	}
	publish(t, b, 2, "now", 4)
	for name, c := range map[string]struct {
		listener *listener
		want     []string
	}{
		"all": {all, []string{"now-0", "now-1", "now-2", "now-3"}}, "odd": {odd, []string{"now-1", "now-3"}},
		"recent": {recent, []string{"now-2", "now-3"}}, "none": {none, nil},
	} {
		if got := c.listener.ids(t, len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%s heard %v, want %v", name, got, c.want)
		}
	}
	if &all.frames[1][0] != &odd.frames[0][0] {
		t.Error("an event is encoded for each listener")
	}
	subs[0].Close()
	publish(t, b, 3, "now", 2)
	if got := odd.ids(t, 3); len(got) != 3 {
		t.Errorf("the others hear %v", got)
	}
	if len(all.frames) != 4 {
		t.Error("a closed subscription still hears")
	}
	for _, s := range subs {
		s.Close() // again, too
	}
	if l.events.stop != nil || l.Count() != 0 {
		t.Error("the reader goes on without subscriptions")
	}
	// What happened meanwhile is past for the next one.
	publish(t, b, 4, "between", 2)
	again := newListener(-1)
	sub, _ := subscribe(t, l, "events", nil, nil, again)
	publish(t, b, 5, "after", 1)
	if got := again.ids(t, 1); !slices.Equal(got, []string{"after-0"}) {
		t.Errorf("heard %v, want after-0", got)
	}
	sub.Close()
}

func TestSlowListenerIsLeftOut(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	slow, quick := newListener(2), newListener(-1)
	for _, one := range []*listener{slow, quick} {
		sub, _ := subscribe(t, l, "events", nil, nil, one)
		defer sub.Close()
	}
	publish(t, b, 1, "x", 50)
	if got := quick.ids(t, 50); len(got) != 50 {
		t.Errorf("the quick one heard %d of 50", len(got))
	}
	if got := slow.ids(t, 3); len(got) != 2 || slow.told != 3 {
		t.Errorf("the slow one took %d, and was told %d times", len(got), slow.told)
	}
}

func TestSubscribeManyAtOnce(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10 {
				sub, _ := subscribe(t, l, "events", nil, &Position{}, newListener(-1))
				sub.Close()
			}
		})
	}
	wg.Go(func() { publish(t, b, 1, "x", 100) })
	wg.Wait()
	if l.events.stop != nil || l.Count() != 0 {
		t.Error("the reader goes on without subscriptions")
	}
}

func TestSubscribeWithoutBus(t *testing.T) {
	b := openBus(t)
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for _, name := range []string{"events", "profile:x", "flow:x"} {
		c, _ := ParseChannel(name)
		if _, err := New(b, nil).Subscribe(ctx, Request{Channel: c}, newListener(-1), func(Start) {}); err == nil {
			t.Errorf("%s: subscribed to a bus that is closed", name)
		}
	}
}

func TestWindow(t *testing.T) {
	var w window
	w.reset(windowSize{events: 3, bytes: 100}, 5)
	for seq := uint64(6); seq < 12; seq++ {
		w.add(&bus.StoredEvent{Seq: seq, Data: make([]byte, 20)})
	}
	for seq, want := range map[uint64]int{7: -1, 8: 3, 9: 2, 11: 0, 20: 0} {
		list, held := w.after(seq)
		if held != (want >= 0) || held && len(list) != want {
			t.Errorf("after %d: %d, %v", seq, len(list), held)
		}
	}
	w.add(&bus.StoredEvent{Seq: 15, Data: make([]byte, 90)}) // the others have to go
	if list, held := w.after(11); !held || len(list) != 1 || w.from != 11 || w.end != 15 {
		t.Errorf("%d events after %d up to %d", len(list), w.from, w.end)
	}
}

func TestQueue(t *testing.T) {
	q := NewQueue(10)
	if first, ok := q.Push([]byte("aaaa")); !first || !ok {
		t.Fatal("refused what fits")
	}
	if first, ok := q.Push([]byte("bbbb")); first || !ok {
		t.Fatal("refused what fits")
	}
	if q.Room(t.Context(), time.Millisecond) {
		t.Error("has room")
	}
	go q.Take(nil)
	if !q.Room(t.Context(), 10*time.Second) {
		t.Error("has no room after the rest was taken")
	}
	if _, ok := q.Push([]byte("cccccccccccc")); !ok {
		t.Error("refused a single frame")
	}
	if _, ok := q.Push([]byte("d")); ok {
		t.Error("took more than it has room for")
	}
	if _, ok := q.Push([]byte("")); ok || len(q.Take(nil)) != 0 {
		t.Error("goes on after it overflowed")
	}
	if !q.Room(t.Context(), time.Millisecond) {
		t.Error("who waits for room is not told that it overflowed")
	}
}
