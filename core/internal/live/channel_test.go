package live

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

func TestSegmentChannel(t *testing.T) {
	b := openBus(t)
	l := New(b, nil)
	one, other := newListener(-1), newListener(-1)
	for channel, to := range map[string]*listener{"segment:loyal": one, "segment:vip": other} {
		sub, _ := subscribe(t, l, channel, nil, nil, to)
		defer sub.Close()
	}
	publish(t, b, 1, "segment-left", 1) // as anybody may send it
	publishOf(t, b, "system", 2, "segment-entered", 1)
	publish(t, b, 3, "x", 1)
	publish(t, b, 4, "segment-entered", 1)
	publishOf(t, b, "system", 5, "segment-left", 1)
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
		"events": true, "profile:a": true, "segment:loyal": true, "profile:a:b": true, "system": true, "flow:thank-you": true,
		"": false, "event": false, "profile": false, "profile:": false, "flow": false, "flow:": false, "events:x": false, "other:x": false,
	} {
		c, err := ParseChannel(name)
		if (err == nil) != good || good && c.String() != name {
			t.Errorf("%q: %v %v", name, c, err)
		}
	}
}

// FuzzParseChannel holds that a channel has one name, that by which it was asked for.
func FuzzParseChannel(f *testing.F) {
	for _, name := range []string{"events", "system", "profile:01890a5d-ac96-774b-bcce-000000000001", "segment:loyal", "profile:", "segment:a:b", "flow:x", "events:x", "*"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		c, err := ParseChannel(name)
		if err == nil && c.String() != name || err != nil && c != (Channel{}) {
			t.Errorf("%q is %q, %v", name, c, err)
		}
	})
}
