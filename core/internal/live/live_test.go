package live

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
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

func message(kind string, c uint64, n int, properties map[string]any) bus.EventMessage {
	p := record.ProcessedEvent{
		Event: sdk.Event{ID: fmt.Sprintf("%s-%d", kind, n), Type: kind, Source: "shop", Valid: true, Profile: "p",
			Time: time.Now(), Received: time.Now(), Properties: sdk.NewObject(properties)},
		Session: &sdk.Session{ID: "s", Events: int64(n)},
	}
	return bus.EventMessage{Partition: 0, C: c, N: n, Type: kind, Data: p.AppendJSON(nil)}
}

// publish stores events of a type with n from 0 on.
func publish(t *testing.T, b *bus.Bus, c uint64, kind string, count int) {
	t.Helper()
	messages := make([]bus.EventMessage, count)
	for n := range messages {
		messages[n] = message(kind, c, n, map[string]any{"n": int64(n), "segment": "loyal"})
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
	for _, name := range []string{"events", "profile:x"} {
		c, _ := ParseChannel(name)
		if _, err := New(b, nil).Subscribe(ctx, Request{Channel: c}, newListener(-1), func(Start) {}); err == nil {
			t.Errorf("%s: subscribed to a bus that is closed", name)
		}
	}
}

// Listeners come and go at random while events are stored, each goes on where
// it was, and each gets every event once and in order: out of the window, out
// of what is kept, and across the two.
func TestHistoryThenLive(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	l.window = windowSize{events: 40, bytes: 1 << 20}
	const total = 3000
	publish(t, b, 1, "x", total/3)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := total / 3; n < total; {
			some := min(1+rand.IntN(90), total-n)
			messages := make([]bus.EventMessage, some)
			for i := range messages {
				messages[i] = message("x", 1, n+i, map[string]any{"n": int64(n + i)})
			}
			if err := b.PublishEvents(t.Context(), messages); err != nil {
				t.Error(err)
				return
			}
			n += some
			time.Sleep(rand.N(40 * time.Millisecond))
		}
	})
	even := filter(t, "event.properties.n % 2 == 0")
	for reader := range 8 {
		wg.Go(func() {
			want, f := total, (*condition.Program)(nil)
			if reader%2 == 1 {
				want, f = total/2, even
			}
			var got []pushed
			from := &Position{}
			deadline := time.Now().Add(5 * time.Minute)
			for len(got) < want {
				if time.Now().After(deadline) {
					t.Errorf("reader %d got %d of %d", reader, len(got), want)
					return
				}
				one := newListener(-1)
				if reader%3 == 0 {
					one.delay = 3 * time.Millisecond
				}
				sub, start := subscribe(t, l, "events", f, from, one)
				if !start.Recovered {
					t.Errorf("reader %d: %+v after %+v", reader, start, from)
				}
				one.await(1+rand.IntN(600), 5*time.Second)
				sub.Close()
				got = append(got, one.heard(t, 0)...)
				from = &Position{Epoch: start.Epoch}
				if len(got) > 0 {
					from.Offset = got[len(got)-1].offset
				}
				if one.lost != "" {
					t.Errorf("reader %d lost the stream: %s", reader, one.lost)
				}
			}
			for i, p := range got {
				n := i
				if f != nil {
					n = 2 * i
				}
				if p.data["properties"].(map[string]any)["n"] != int64(n) {
					t.Errorf("reader %d: place %d has %v", reader, i, p.data["id"])
					return
				}
			}
		})
	}
	wg.Wait()
	if len(l.slots) != 0 || l.Count() != 0 {
		t.Errorf("%d readers and %d subscriptions are left", len(l.slots), l.Count())
	}
}

func TestRecoverSaysWhetherThereIsAGap(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	l.window = windowSize{events: 2, bytes: 1 << 20}
	publish(t, b, 1, "x", 10)
	sub, start := subscribe(t, l, "events", nil, nil, newListener(-1))
	defer sub.Close()
	epoch := start.Epoch
	for name, c := range map[string]struct {
		from      Position
		recovered bool
		offset    uint64
		first     string // that is pushed, after one more event was stored
	}{
		"everything":    {Position{"", 0}, true, 0, "x-0"},
		"window":        {Position{epoch, 9}, true, 9, "x-9"},
		"at the end":    {Position{epoch, 10}, true, 10, "y-0"},
		"older":         {Position{epoch, 4}, true, 4, "x-4"},
		"another epoch": {Position{"other", 4}, false, 10, "y-0"},
		"not given yet": {Position{epoch, 4000}, false, 10, "y-0"},
	} {
		one := newListener(-1)
		sub, start := subscribe(t, l, "events", nil, &c.from, one)
		defer sub.Close()
		if start.Recovered != c.recovered || start.Offset != c.offset || start.Epoch != epoch {
			t.Errorf("%s: begins at %+v", name, start)
		}
		defer func() {
			if got := one.ids(t, 1); got[0] != c.first {
				t.Errorf("%s: the first one is %s, want %s", name, got[0], c.first)
			}
		}()
	}
	publish(t, b, 2, "y", 1)
}

func TestRecoverBehindWhatIsKept(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	l.window = windowSize{events: 2, bytes: 1 << 20}
	publish(t, b, 1, "x", 10)
	state, err := b.EventsState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteEvents(t.Context(), []uint64{1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	one := newListener(-1)
	sub, start := subscribe(t, l, "events", nil, &Position{state.Epoch, 2}, one)
	defer sub.Close()
	if start.Recovered || start.Offset != 4 {
		t.Errorf("begins at %+v", start)
	}
	if got := one.ids(t, 6); got[0] != "x-4" || len(got) != 6 {
		t.Errorf("heard %v", got)
	}
}

func TestSegmentChannel(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	one, other := newListener(-1), newListener(-1)
	for channel, to := range map[string]*listener{"segment:loyal": one, "segment:vip": other} {
		sub, _ := subscribe(t, l, channel, nil, nil, to)
		defer sub.Close()
	}
	publish(t, b, 1, "segment-entered", 1)
	publish(t, b, 2, "x", 1)
	publish(t, b, 3, "segment-left", 1)
	got := one.heard(t, 2)
	for i, want := range []string{"entered", "left"} {
		p := got[i]
		if p.channel != "segment:loyal" || p.data["change"] != want || p.data["profile"] != "p" || p.data["segment"] != "loyal" || p.data["time"] == nil {
			t.Errorf("heard %v, want %s", p, want)
		}
	}
	if other.told > 0 {
		t.Error("the other segment hears of it")
	}
}

func putProfile(t *testing.T, b *bus.Bus, id string, expect uint64, text string) uint64 {
	t.Helper()
	results, err := b.PutDocuments(t.Context(), []bus.DocumentPut{{Profile: id, Data: []byte(text), Expect: expect}})
	if err != nil || results[0].Conflict {
		t.Fatalf("%v %v", results, err)
	}
	return results[0].Revision
}

func live(id string, revision int) string {
	return fmt.Sprintf(`{"state":"live","c":1,"profile":{"id":%q,"revision":%d}}`, id, revision)
}

func TestProfileChannel(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	p := putProfile(t, b, "p", 0, live("p", 1))
	one := newListener(-1)
	sub, start := subscribe(t, l, "profile:p", nil, nil, one)
	if (start != Start{Position: Position{"p", 1}}) {
		t.Errorf("begins at %+v", start)
	}
	putProfile(t, b, "q", 0, live("q", 7))
	p = putProfile(t, b, "p", p, live("p", 2))
	one.heard(t, 1)                                                                                       // states in between are not promised
	p = putProfile(t, b, "p", p, `{"state":"live","c":1,"profile":{"id":"p","revision":2},"session":{}}`) // not of the profile
	p = putProfile(t, b, "p", p, live("p", 3))
	if got := one.heard(t, 2); got[0].offset != 2 || got[1].offset != 3 || got[1].channel != "profile:p" || got[1].data["id"] != "p" || len(got) != 2 {
		t.Errorf("heard %v", got)
	}
	sub.Close()
	if l.Count() != 0 || l.profiles.shared.stop != nil || len(l.profiles.byID) != 0 {
		t.Error("the reader goes on without subscriptions")
	}
	// Who comes back is told the present state, once.
	for from, want := range map[Position]int{{"p", 3}: 0, {"p", 2}: 1, {"", 0}: 1, {"other", 3}: 1} {
		again := newListener(-1)
		sub, start := subscribe(t, l, "profile:p", nil, &from, again)
		if again.told != want || !start.Recovered || start.Offset != 3 {
			t.Errorf("from %v: told %d times, want %d; %+v", from, again.told, want, start)
		}
		sub.Close()
	}
	// After a merge it is the other profile, under the name that it had.
	again := newListener(-1)
	sub, _ = subscribe(t, l, "profile:p", nil, nil, again)
	putProfile(t, b, "p", p, `{"state":"redirect","to":"q"}`)
	if got := again.heard(t, 1); got[0].channel != "profile:p" || got[0].data["id"] != "q" || got[0].offset != 7 {
		t.Errorf("heard %v", got)
	}
	sub.Close()
	again = newListener(-1)
	sub, start = subscribe(t, l, "profile:p", nil, &Position{"p", 3}, again)
	defer sub.Close()
	if (start.Position != Position{"q", 7}) || again.told != 1 {
		t.Errorf("begins at %+v, told %d times", start, again.told)
	}
	_, q, err := b.GetDocument(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	putProfile(t, b, "q", q, `{"state":"erased"}`)
	if got := again.heard(t, 2); got[1].data != nil {
		t.Errorf("of an erased profile: %v", got[1])
	}
	for _, id := range []string{"q", "nobody"} {
		c, _ := ParseChannel("profile:" + id)
		if _, err := l.Subscribe(t.Context(), Request{Channel: c}, newListener(-1), func(Start) {}); !errors.Is(err, ErrNoProfile) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestSystemChannel(t *testing.T) {
	l := New(nil, nil)
	c, err := ParseChannel("system")
	if err != nil || c.Filters() {
		t.Fatal(err)
	}
	if _, err := l.Subscribe(t.Context(), Request{Channel: c}, newListener(-1), func(Start) {}); !errors.Is(err, ErrNoHealth) {
		t.Errorf("nobody tells: %v", err)
	}
	var state atomic.Pointer[string]
	set := func(s string) { text := `{"state":"` + s + `"}`; state.Store(&text) }
	set("ok")
	l.WatchHealth(func(context.Context) []byte { return []byte(*state.Load()) })
	l.system.every = time.Millisecond
	one := newListener(-1)
	sub, start := subscribe(t, l, "system", nil, nil, one)
	if start.Offset != 1 || start.Recovered || one.told != 0 {
		t.Errorf("begins at %+v", start)
	}
	set("down")
	if got := one.heard(t, 1); got[0].channel != "system" || got[0].offset != 2 || got[0].data["state"] != "down" {
		t.Errorf("heard %v", got)
	}
	for from, want := range map[Position]int{{start.Epoch, 2}: 0, {start.Epoch, 1}: 1, {"other", 2}: 1, {}: 1} {
		again := newListener(-1)
		sub, start := subscribe(t, l, "system", nil, &from, again)
		if again.told != want || !start.Recovered || start.Offset != 2 {
			t.Errorf("from %v: told %d times, want %d; %+v", from, again.told, want, start)
		}
		sub.Close()
	}
	sub.Close()
	if l.Count() != 0 || l.system.shared.stop != nil {
		t.Error("it is watched without subscriptions")
	}
}

func TestParseChannel(t *testing.T) {
	for name, good := range map[string]bool{
		"events": true, "profile:a": true, "segment:loyal": true, "profile:a:b": true, "system": true,
		"": false, "event": false, "profile": false, "profile:": false, "events:x": false, "other:x": false,
	} {
		c, err := ParseChannel(name)
		if (err == nil) != good || good && c.String() != name {
			t.Errorf("%q: %v %v", name, c, err)
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
