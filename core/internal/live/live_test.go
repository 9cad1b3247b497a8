package live

import (
	"context"
	"fmt"
	"slices"
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

// publish stores events of a type with n from 0 on.
func publish(t *testing.T, b *bus.Bus, c uint64, kind string, count int) {
	t.Helper()
	messages := make([]bus.EventMessage, count)
	for n := range messages {
		p := record.ProcessedEvent{
			Event: sdk.Event{ID: fmt.Sprintf("%s-%d", kind, n), Type: kind, Source: "shop", Valid: true,
				Time: time.Now(), Received: time.Now(), Properties: sdk.NewObject(map[string]any{"n": int64(n)})},
			Session: &sdk.Session{ID: "s", Events: int64(n)},
		}
		messages[n] = bus.EventMessage{Partition: 0, C: c, N: n, Type: kind, Data: p.AppendJSON(nil)}
	}
	if err := b.PublishEvents(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
}

// A listener keeps what it is told.
type listener struct {
	mu     sync.Mutex
	frames [][]byte
	room   int // frames that it takes, -1: any number
	more   chan struct{}
}

func newListener(room int) *listener { return &listener{room: room, more: make(chan struct{}, 1000)} }

func (l *listener) deliver(frame []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.more <- struct{}{}
	if l.room == len(l.frames) {
		return false
	}
	l.frames = append(l.frames, frame)
	return true
}

// ids waits until the listener was told n times, and returns the ids of what
// it took.
func (l *listener) ids(t *testing.T, n int) (ids []string) {
	t.Helper()
	for range n {
		select {
		case <-l.more:
		case <-time.After(10 * time.Second):
			t.Fatalf("heard of fewer than %d events", n)
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
		if push["channel"] != ChannelEvents || push["offset"].(int64) < 1 {
			t.Errorf("push %s", frame)
		}
		ids = append(ids, push["data"].(map[string]any)["id"].(string))
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
		sub, err := l.Subscribe(t.Context(), s.filter, s.listener.deliver)
		if err != nil {
			t.Fatal(err)
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
	if got := odd.ids(t, 1); len(got) != 3 {
		t.Errorf("the others hear %v", got)
	}
	if len(all.frames) != 4 {
		t.Error("a closed subscription still hears")
	}
	for _, s := range subs {
		s.Close() // again, too
	}
	if l.stop != nil || l.Count() != 0 {
		t.Error("the reader goes on without subscriptions")
	}
	// What happened meanwhile is past for the next one.
	publish(t, b, 4, "between", 2)
	again := newListener(-1)
	sub, err := l.Subscribe(t.Context(), nil, again.deliver)
	if err != nil {
		t.Fatal(err)
	}
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
		sub, err := l.Subscribe(t.Context(), nil, one.deliver)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
	}
	publish(t, b, 1, "x", 50)
	if got := quick.ids(t, 50); len(got) != 50 {
		t.Errorf("the quick one heard %d of 50", len(got))
	}
	if got := slow.ids(t, 3); len(got) != 2 || len(slow.more) != 0 {
		t.Errorf("the slow one took %d, and was told %d times more", len(got), len(slow.more))
	}
	if l.Count() != 1 {
		t.Errorf("%d subscriptions, want 1", l.Count())
	}
}

func TestSubscribeManyAtOnce(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10 {
				sub, err := l.Subscribe(t.Context(), nil, func([]byte) bool { return true })
				if err != nil {
					t.Error(err)
					return
				}
				sub.Close()
			}
		})
	}
	wg.Go(func() { publish(t, b, 1, "x", 100) })
	wg.Wait()
	if l.stop != nil || l.Count() != 0 {
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
	if _, err := New(b, nil).Subscribe(ctx, nil, func([]byte) bool { return true }); err == nil {
		t.Error("subscribed to a bus that is closed")
	}
}

func TestEventOf(t *testing.T) {
	for text, want := range map[string]string{
		`{"event":{"id":"a","properties":{"event":{}}},"config":3}`: `{"id":"a","properties":{"event":{}}}`,
		`{"event":`: "null", `{"config":3}`: "null", ``: "null",
	} {
		if got := string(eventOf([]byte(text))); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestQueue(t *testing.T) {
	q := NewQueue(10)
	if !q.Push([]byte("aaaa")) || !q.Push([]byte("bbbb")) {
		t.Fatal("refused what fits")
	}
	<-q.Ready()
	first := q.Take(nil)
	if got := string(slices.Concat(first...)); got != "aaaabbbb" {
		t.Errorf("took %q", got)
	}
	if !q.Push([]byte("cccccccccc")) {
		t.Error("refused what fits after the rest was taken")
	}
	<-q.Ready()
	if q.Push([]byte("d")) {
		t.Error("took more than it has room for")
	}
	if q.Push([]byte("")) || len(q.Take(first)) != 0 {
		t.Error("goes on after it overflowed")
	}
	if first[0] != nil {
		t.Error("the room of spare holds on to frames")
	}
}
