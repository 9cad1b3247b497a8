package gateway

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/processor"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

func (f fixedResources) At(context.Context, uint64) (*config.Set, error) { return f.set, nil }

// process runs a processor on the fixture's bus until the test ends.
func (f *fixture) process(t *testing.T) {
	t.Helper()
	for p := range f.bus.Partitions() {
		c := record.Command{Kind: record.KindConfig, Revision: 1, Received: testNow}
		if err := f.bus.Append(t.Context(), []bus.Entry{{Partition: p, Commands: record.AppendCommand(nil, &c)}}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := processor.New(t.Context(), processor.Options{
		Bus: f.bus, Resources: f.options.Resources.(fixedResources), Dir: t.TempDir(), Sole: true, EventsMaxAge: 24 * time.Hour,
		Learn: f.Learn, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// track sends a payload and does not wait for what becomes of it.
func (f *fixture) track(t *testing.T, key, rest string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		a := f.send(t, "POST", "/track", `{"source":{"id":"`+key+`"},"options":{"async":true},`+rest+`}`)
		if a.status == 200 {
			return
		}
		if a.status != 503 || time.Now().After(deadline) { // on a slow machine it is to be sent again
			t.Fatalf("%d %s", a.status, a.text)
		}
	}
}

// person waits until a profile that holds the identifier has the trait name, and
// returns it.
func (f *fixture) person(t *testing.T, kind, value, name string) *sdk.Profile {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s %s has no name %s", kind, value, name)
		}
		data, _, err := f.bus.GetDocument(t.Context(), f.holder(t, kind, value))
		if err != nil {
			continue // not there yet
		}
		document, err := record.ParseDocument(data)
		if err != nil {
			t.Fatal(err)
		}
		if document.Profile.Traits["name"] == name {
			return document.Profile
		}
	}
}

func (f *fixture) holder(t *testing.T, kind, value string) string {
	t.Helper()
	found, err := f.bus.GetIdentities(t.Context(), []bus.IdentityKey{f.bus.IdentityKey(kind, value)})
	if err != nil {
		t.Fatal(err)
	}
	return found[0].Identity.Profile
}

// The events of a payload stay about one person where the first of them turns out
// to be about somebody else than the gateway could tell.
func TestTrackStaysTogetherAtTheFold(t *testing.T) {
	const resources = testResources + "---\nkind: identification\nid: user\nspec: {event: event.properties.customer, priority: 1}\n"
	payload := func(user, name string) string {
		return `"events":[{"type":"login","properties":{"customer":"` + user + `"},"traits":{"email":"a@b.example"}},{"type":"identify","traits":{"name":"` + name + `"}}]`
	}
	for name, session := range map[string]string{"without a session": "", "in a session of somebody else": `"session":{"id":"s1"},`} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(o *Options) { o.Resources = fixedResources{setOf(t, resources)} })
			f.process(t)
			f.track(t, "shop-key", session+payload("U2", "Two"))
			f.person(t, "user", "U2", "Two")
			f.track(t, "shop-key", session+payload("U9", "Nine"))
			nine, two := f.person(t, "user", "U9", "Nine"), f.person(t, "user", "U2", "Two")
			if nine.ID == two.ID {
				t.Errorf("both users are profile %s", two.ID)
			}
		})
	}
}

// Who holds the static id is the profile, whatever else is held by somebody else.
func TestStaticIDsDecideAtTheFold(t *testing.T) {
	const resources = testResources + `
---
kind: identification
id: member
spec: {event: event.properties.member, priority: 20}
---
kind: source
id: crm
spec: {keys: [crm-key], static_ids: member}
`
	f := newFixture(t, func(o *Options) { o.Resources = fixedResources{setOf(t, resources)} })
	f.process(t)
	payload := func(session, profile, name, rest string) string {
		return `"session":{"id":"` + session + `"},"profile":{"id":"` + profile + `"},"events":[{"type":"identify","traits":{"name":"` + name + `"` + rest + `}}]`
	}
	f.track(t, "crm-key", payload("s1", "m1", "One", `,"email":"a@b.example"`))
	one := f.person(t, "member", "m1", "One")
	// Nobody holds the id yet; another holds the session, and the e-mail address,
	// which is the stronger identifier.
	f.track(t, "crm-key", payload("s1", "m2", "Two", `,"email":"a@b.example"`))
	two := f.person(t, "member", "m2", "Two")
	if one.ID == two.ID || f.holder(t, "email", "a@b.example") != one.ID || two.Identities["email"] != nil {
		t.Errorf("%s is m1 and %s is m2, with %v; the address is held by %s", one.ID, two.ID, two.Identities, f.holder(t, "email", "a@b.example"))
	}
	for deadline := time.Now().Add(10 * time.Second); f.holder(t, "session", "s1") != two.ID; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the session stays with m1")
		}
	}
	f.track(t, "crm-key", payload("s1", "m1", "Eins", ""))
	if again := f.person(t, "member", "m1", "Eins"); again.ID != one.ID {
		t.Errorf("m1 is %s, and was %s", again.ID, one.ID)
	}
	// Where the gateway was told too late who holds an id, the fold looks again.
	f.Learn(f.bus.IdentityKey("member", "m1"), two.ID)
	f.track(t, "crm-key", payload("s2", "m1", "Uno", ""))
	if again := f.person(t, "member", "m1", "Uno"); again.ID != one.ID {
		t.Errorf("m1 is %s, and was %s", again.ID, one.ID)
	}
}
