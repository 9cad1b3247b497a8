package test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A browser is one anonymous id and one session, whoever sits before it.
type browser struct {
	p      *product
	deadly bool                // the product is killed under every event
	sent   map[string]string   // event id → who it is meant to be about
	about  map[string][]string // who → event ids, in order
}

// The amounts tell whose event went into a sum.
var amounts = map[string]int{"ann": 1, "bob": 100, "": 10_000}

// sends has a user, or nobody known, do something before the browser: ids are
// the identifiers beside the user. The event is meant to be about a user.
func (b *browser) sends(id, user, ids, session, about string) {
	b.p.t.Helper()
	var list []string
	if user != "" {
		list = append(list, fmt.Sprintf(`"user":"%s"`, user))
	}
	if ids != "" {
		list = append(list, ids)
	}
	event := fmt.Sprintf(`{"id":"%s","type":"add","ids":{%s},"properties":{"n":%d}`, id, strings.Join(list, ","), amounts[user])
	if session != "" {
		event += fmt.Sprintf(`,"session":"%s"`, session)
	}
	event += "}"
	b.sent[id] = about
	b.about[about] = append(b.about[about], id)
	if b.deadly {
		b.killUnder(event)
	}
	a, err := b.p.post("/v1/events?wait=processed", event)
	if err != nil || a.status != http.StatusOK || len(a.results()) != 1 {
		b.p.t.Fatalf("event %s: %d %s, %v", id, a.status, a.body, err)
	}
	r := a.results()[0]
	if status := r["status"]; status != "accepted" && (!b.deadly || status != "duplicate") || r["valid"] == false {
		b.p.t.Errorf("event %s: %s", id, a.body)
	}
	if b.deadly {
		// A duplicate may be told of while the first one's effects are on their way.
		eventually(b.p.t, 10*time.Second, id+" to be "+about+"'s", func() bool {
			seen, _ := at(b.p.profile("user:"+about), "data", "seen").([]any)
			return slices.Contains(seen, any(id))
		})
	}
}

// killUnder sends an event and kills the product at some moment between its
// arrival and its last effect, or after that.
func (b *browser) killUnder(event string) {
	b.p.t.Helper()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = b.p.post("/v1/events", event) // it may not be answered
	}()
	time.Sleep(time.Duration(rand.IntN(8000)) * time.Microsecond)
	b.p.kill()
	<-sent
	b.p.start()
}

// Two people share a browser, and log in one after the other without logging
// out: every event goes to whom it is about, once, and what comes without a
// user belongs to who was there last. So it is where the product dies again
// and again meanwhile.
func TestTwoPeopleShareABrowser(t *testing.T) {
	t.Parallel()
	for name, deadly := range map[string]bool{"undisturbed": false, "killed under every event": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range scale(1, 10) {
				shareABrowser(t, deadly)
			}
		})
	}
}

func shareABrowser(t *testing.T, deadly bool) {
	t.Helper()
	p := launch(t)
	p.apply(counting)
	b := &browser{p: p, deadly: deadly, sent: map[string]string{}, about: map[string][]string{}}
	const anonymous, session = `"anonymous":"b7"`, "s-1"
	b.sends("ann-1", "ann", anonymous, session, "ann")
	b.sends("ann-2", "ann", anonymous, session, "ann")
	b.holds("ann")
	b.sends("bob-1", "bob", anonymous, session, "bob")
	b.holds("bob")
	b.sends("bob-2", "bob", anonymous, session, "bob")
	b.sends("nobody-1", "", anonymous, session, "bob")
	b.sends("ann-3", "ann", anonymous, session, "ann")
	b.holds("ann")
	b.sends("nobody-2", "", anonymous, session, "ann")
	b.sends("nobody-3", "", anonymous, "", "ann")
	b.sends("nobody-4", "", "", session, "ann")
	b.holds("ann")
	b.check()
	// A start repeats what the last commits did.
	for range 3 {
		p.kill()
		p.start()
		b.holds("ann")
	}
	b.sends("nobody-5", "", anonymous, session, "ann")
	b.check()
	p.run("store", "rebuild")
	b.check()
}

// holds checks whose the anonymous id and the session are.
func (b *browser) holds(user string) {
	b.p.t.Helper()
	var told string
	yes := func() bool {
		want := at(b.p.profile("user:"+user), "id")
		for _, name := range []string{"anonymous:b7", "session:s-1"} {
			if got := at(b.p.profile(name), "id"); got != want || got == nil {
				told = fmt.Sprintf("%s is of %v, want %s's, %v", name, got, user, want)
				return false
			}
		}
		return true
	}
	// See sends.
	for deadline := time.Now().Add(5 * time.Second); !yes(); time.Sleep(5 * time.Millisecond) {
		if !b.deadly || time.Now().After(deadline) {
			b.p.t.Errorf("after %v %s", slices.Sorted(maps.Keys(b.sent)), told)
			return
		}
	}
}

// check holds profiles and events against what was sent.
func (b *browser) check() {
	t := b.p.t
	t.Helper()
	b.p.counts("events", `event.type == "add"`, len(b.sent))
	b.p.counts("profiles", "true", len(b.about))
	ids := map[any]string{}
	for user, events := range b.about {
		profile := b.p.profile("user:" + user)
		if other, twice := ids[profile["id"]]; twice || profile == nil {
			t.Fatalf("the profile of %s is %v, that of %q", user, profile["id"], other)
		}
		ids[profile["id"]] = user
		sum := 0
		for _, id := range events {
			who, _, _ := strings.Cut(id, "-")
			if who == "nobody" {
				who = ""
			}
			sum += amounts[who]
		}
		counters := fmt.Sprint(at(profile, "counters", "events"), " of ", at(profile, "counters", "sum"))
		if want := fmt.Sprint(len(events), " of ", sum); counters != want {
			t.Errorf("%s counts %s, want %s", user, counters, want)
		}
		if got, want := fmt.Sprint(at(profile, "data", "seen")), fmt.Sprint(events); got != want {
			t.Errorf("%s has the events %s, want %s", user, got, want)
		}
		want := fmt.Sprintf("map[user:[%s]]", user)
		if user == "ann" { // who was there last
			want = "map[anonymous:[b7] user:[ann]]"
		}
		eventually(t, 20*time.Second, user+" to be identified by "+want, func() bool {
			return fmt.Sprint(at(b.p.profile("user:"+user), "identities")) == want
		})
	}
	a := b.p.api(http.MethodPost, "/api/v1/events/query", `{"filter":"event.type == \"add\"","limit":1000}`)
	items, _ := a.value["items"].([]any)
	if a.status != http.StatusOK || len(items) != len(b.sent) {
		t.Errorf("%d events in the store, want %d: %d %s", len(items), len(b.sent), a.status, a.body)
	}
	for _, item := range items {
		event, _ := item.(map[string]any)
		id, _ := event["id"].(string)
		if who := ids[event["profile"]]; who != b.sent[id] {
			t.Errorf("event %s is about %q, want %q", id, who, b.sent[id])
		}
	}
}
