package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

func TestRouting(t *testing.T) {
	f := newFixture(t, nil)
	b := f.bus
	f.exist(t, "p-known")
	f.hold(t, "user", "u1", record.Identity{Profile: "p-u1"})
	f.hold(t, "email", "a@b.example", record.Identity{Profile: "p-mail"})
	f.hold(t, "card", "1234", record.Identity{Profile: "p-card"})
	f.hold(t, "anonymous", "a1", record.Identity{Profile: "p-a1"})
	f.hold(t, "session", "s1", record.Identity{Profile: "p-s1"})
	f.hold(t, "user", "erased", record.Identity{Gen: 2, ErasedAt: testNow})
	for name, c := range map[string]struct{ event, profile string }{
		"explicit profile":         {`"profile":"p-known","ids":{"user":"u1"}`, "p-known"},
		"unknown profile":          {`"profile":"p-forged","ids":{"user":"u1"}`, "p-u1"},
		"user before all":          {`"ids":{"anonymous":"a1","card":"1234","email":"a@b.example","user":"u1"},"session":"s1"`, "p-u1"},
		"identification before":    {`"ids":{"anonymous":"a1","card":"1234"},"session":"s1"`, "p-card"},
		"by priority":              {`"ids":{"card":"1234","email":"A@B.example"}`, "p-mail"},
		"computed":                 {`"properties":{"card":"12-34"},"session":"s1"`, "p-card"},
		"anonymous before session": {`"ids":{"anonymous":"a1"},"session":"s1"`, "p-a1"},
		"session":                  {`"session":"s1"`, "p-s1"},
		"weaker one is held":       {`"ids":{"user":"u2","anonymous":"a1"}`, "p-a1"},
		"nobody yet, user":         {`"ids":{"user":"u3","anonymous":"a3"},"session":"s3"`, b.DerivedProfile("user", "u3", 0)},
		"nobody yet, anonymous":    {`"ids":{"anonymous":"a4"},"session":"s4"`, b.DerivedProfile("anonymous", "a4", 0)},
		"nobody yet, session":      {`"session":"s5"`, b.DerivedProfile("session", "s5", 0)},
		"erased before":            {`"ids":{"user":"erased"}`, b.DerivedProfile("user", "erased", 2)},
		"no identifier":            {`"id":"e-1"`, b.DerivedProfile("event", "shop/e-1", 0)},
		"nobody on purpose":        {`"ids":{"user":"u1"},"profile_less":true`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			batch := newBatch(testNow, &testLimits)
			rules := f.current()
			for range 2 { // the second time the cache knows
				if refused := batch.parseNative([]byte(`{"type":"x",`+c.event+`}`), rules, &testLimits); refused != nil {
					t.Fatal(refused.message)
				}
			}
			batch.name(shopSource)
			for i := range batch.events {
				batch.events[i].status, batch.events[i].first = accepted, -1
				rules.compute(&batch.events[i], testNow)
			}
			if err := f.router.route(t.Context(), batch, rules, "shop"); err != nil {
				t.Fatal(err)
			}
			for i := range batch.events {
				e := &batch.events[i]
				if e.profile != c.profile {
					t.Errorf("event %d goes to %s, want %s", i, e.profile, c.profile)
				}
				if c.profile != "" && e.partition != b.Partition(c.profile) {
					t.Errorf("event %d goes to partition %d, want %d", i, e.partition, b.Partition(c.profile))
				}
				if e.partition < 0 || e.partition >= b.Partitions() {
					t.Errorf("partition %d of %d", e.partition, b.Partitions())
				}
			}
		})
	}
}

// counting counts what is asked of the bus.
type counting struct {
	nullBus
	asked [][]bus.IdentityKey
	held  map[bus.IdentityKey]string
	err   error
}

func (c *counting) GetIdentities(_ context.Context, keys []bus.IdentityKey) ([]bus.StoredIdentity, error) {
	c.asked = append(c.asked, keys)
	found := make([]bus.StoredIdentity, len(keys))
	for i, key := range keys {
		found[i].Identity.Profile = c.held[key]
	}
	return found, c.err
}

func TestRouterAsksOnce(t *testing.T) {
	directory := &counting{nullBus: nullBus{16}}
	rules, r := newRules(testSet(t)), newRouter(directory)
	route := func(now time.Time, body string) *batch {
		t.Helper()
		b := newBatch(now, &testLimits)
		if refused := b.parseNative([]byte(body), rules, &testLimits); refused != nil {
			t.Fatal(refused.message)
		}
		b.name(shopSource)
		if err := r.route(t.Context(), b, rules, "shop"); err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := route(testNow, `{"type":"x","ids":{"user":"1","anonymous":"a"},"session":"s"}{"type":"x","ids":{"user":"1"}}{"type":"x","ids":{"user":"2"}}`)
	if len(directory.asked) != 1 || len(directory.asked[0]) != 4 {
		t.Fatalf("asked %v, want once for user 1, anonymous a, session s and user 2", directory.asked)
	}
	derived := directory.DerivedProfile("user", "1", 0)
	if b.events[0].profile != derived || b.events[1].profile != derived || b.events[2].profile == derived {
		t.Errorf("profiles %s, %s, %s", b.events[0].profile, b.events[1].profile, b.events[2].profile)
	}
	// All identifiers of an event are known from then on.
	b = route(testNow, `{"type":"x","ids":{"anonymous":"a"}}{"type":"x","session":"s"}`)
	if len(directory.asked) != 1 || b.events[0].profile != derived || b.events[1].profile != derived {
		t.Errorf("asked %v; profiles %s, %s", directory.asked[1:], b.events[0].profile, b.events[1].profile)
	}
	// What a commit says counts more.
	r.learn(directory.IdentityKey("anonymous", "a"), "elder", testNow)
	r.learn(directory.IdentityKey("user", "never asked for"), "elder", testNow)
	if b = route(testNow, `{"type":"x","ids":{"anonymous":"a"}}`); b.events[0].profile != "elder" || len(directory.asked) != 1 {
		t.Errorf("profile %s", b.events[0].profile)
	}
	// It is looked up again after a while, for those who come later.
	directory.held = map[bus.IdentityKey]string{directory.IdentityKey("user", "1"): "moved"}
	later := testNow.Add(routeTTL)
	if b = route(later, `{"type":"x","ids":{"user":"1"}}`); b.events[0].profile != derived || len(directory.asked) != 2 {
		t.Errorf("profile %s, asked %d times", b.events[0].profile, len(directory.asked))
	}
	if b = route(later, `{"type":"x","ids":{"user":"1"}}`); b.events[0].profile != "moved" || len(directory.asked) != 2 {
		t.Errorf("profile %s, asked %d times", b.events[0].profile, len(directory.asked))
	}
	// Together with what is not known at all.
	if route(later, `{"type":"x","ids":{"user":"2"}}{"type":"x","ids":{"user":"3"}}`); len(directory.asked) != 3 || len(directory.asked[2]) != 2 {
		t.Errorf("asked %v, want for user 3 and again for user 2", directory.asked[2:])
	}
	// One that nobody holds any more is looked up by who needs it.
	if b = route(later, `{"type":"x","ids":{"user":"2"}}`); len(directory.asked) != 4 || b.events[0].profile != directory.DerivedProfile("user", "2", 0) {
		t.Errorf("profile %s, asked %v", b.events[0].profile, directory.asked[3:])
	}
	// What is known for too long is not used.
	if b = route(later.Add(routeTTL+staleFor), `{"type":"x","ids":{"user":"1"}}`); b.events[0].profile != "moved" || len(directory.asked) != 5 {
		t.Errorf("profile %s, asked %d times", b.events[0].profile, len(directory.asked))
	}
	// What may have moved to another person is not used after its time.
	directory.held[directory.IdentityKey("anonymous", "a")] = "moved"
	if b = route(later, `{"type":"x","ids":{"anonymous":"a"}}`); b.events[0].profile != "moved" || len(directory.asked) != 6 {
		t.Errorf("profile %s, asked %d times", b.events[0].profile, len(directory.asked))
	}
	directory.err = errors.New("broken")
	b = newBatch(testNow, &testLimits)
	if refused := b.parseNative([]byte(`{"type":"x","ids":{"user":"9"}}`), rules, &testLimits); refused != nil {
		t.Fatal(refused.message)
	}
	b.name(shopSource)
	if err := r.route(t.Context(), b, rules, "shop"); !errors.Is(err, directory.err) {
		t.Errorf("error %v, want that of the bus", err)
	}
}

// After a pause a request looks few identifiers up again, and uses what it knows
// where there is no answer, which is asked for again after a while.
func TestRouterUsesWhatItKnewAfterAPause(t *testing.T) {
	directory := &counting{nullBus: nullBus{16}}
	rules, r := newRules(testSet(t)), newRouter(directory)
	var body strings.Builder
	for i := range 20 {
		fmt.Fprintf(&body, `{"type":"x","ids":{"user":"u%d"}}`, i)
	}
	route := func(now time.Time) (asked int) {
		t.Helper()
		before := len(directory.asked)
		b := newBatch(now, &testLimits)
		defer b.release()
		if refused := b.parseNative([]byte(body.String()), rules, &testLimits); refused != nil {
			t.Fatal(refused.message)
		}
		b.name(shopSource)
		if err := r.route(t.Context(), b, rules, "shop"); err != nil {
			t.Fatal(err)
		}
		for i := range b.events {
			if want := directory.DerivedProfile("user", fmt.Sprint("u", i), 0); b.events[i].profile != want {
				t.Errorf("event %d goes to %s, want %s", i, b.events[i].profile, want)
			}
		}
		for _, keys := range directory.asked[before:] {
			asked += len(keys)
		}
		return asked
	}
	if n := route(testNow); n != 20 {
		t.Fatalf("%d asked for, want 20", n)
	}
	directory.err = errors.New("no answer")
	later := testNow.Add(2 * routeTTL)
	for i, want := range []int{renewMost, renewMost, 20 - 2*renewMost, 0} {
		if n := route(later); n != want {
			t.Errorf("request %d asked for %d, want %d", i, n, want)
		}
	}
	if n := route(later.Add(renewRest)); n != renewMost {
		t.Errorf("after a while %d are asked for, want %d", n, renewMost)
	}
}

// An event that leaves its profile as it is makes nobody the holder of an identifier.
func TestRouterLearnsNothingOfEventsAside(t *testing.T) {
	directory := &counting{nullBus: nullBus{16}}
	rules, r := newRules(testSet(t)), newRouter(directory)
	for _, aside := range []bool{true, false, false} {
		b := newBatch(testNow, &testLimits)
		if refused := b.parseNative([]byte(`{"type":"x","ids":{"user":"1"},"session":"s"}`), rules, &testLimits); refused != nil {
			t.Fatal(refused.message)
		}
		b.name(shopSource)
		b.events[0].TransientProfile = aside
		if err := r.route(t.Context(), b, rules, "shop"); err != nil {
			t.Fatal(err)
		}
	}
	if len(directory.asked) != 2 {
		t.Errorf("asked %d times, want once for the event aside and once for the next", len(directory.asked))
	}
}

func TestRecent(t *testing.T) {
	r := newRecent[int, int](recentShards * 8)
	for i := range 10_000 {
		r.put(i, i)
		if _, ok := r.get(0); !ok {
			t.Fatalf("what is asked for all the time is forgotten after %d others", i)
		}
	}
	if v, ok := r.get(9999); !ok || v != 9999 {
		t.Error("the newest entry is forgotten")
	}
	if _, ok := r.get(100); ok {
		t.Error("nothing is ever forgotten")
	}
	size := 0
	for i := range r.shards {
		size += len(r.shards[i].young) + len(r.shards[i].old)
	}
	if size > 2*recentShards*8 {
		t.Errorf("%d entries are kept, want at most %d", size, 2*recentShards*8)
	}
}

func TestProfileLessPartitionsSpread(t *testing.T) {
	r := newRouter(nullBus{16})
	rules := newRules(testSet(t))
	used := map[int]bool{}
	for range 20 {
		b := newBatch(testNow, &testLimits)
		if refused := b.parseNative([]byte(`{"type":"x","profile_less":true}{"type":"x","profile_less":true}`), rules, &testLimits); refused != nil {
			t.Fatal(refused.message)
		}
		b.name(shopSource)
		if err := r.route(t.Context(), b, rules, "shop"); err != nil {
			t.Fatal(err)
		}
		used[b.events[0].partition], used[b.events[1].partition] = true, true
	}
	if len(used) < 8 {
		t.Errorf("40 events use %d of 16 partitions", len(used))
	}
}
