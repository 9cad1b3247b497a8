package processor

import (
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// seen is an event of a browser in a session, of a user where there is one; it goes to
// where a gateway that knows nothing sends it.
func (n *node) seen(id, session, mark, user string) *record.Command {
	c := n.of("seeing", session, id, user, id)
	c.Event.Fingerprint = mark
	if user == "" {
		c.Event.IDs = nil
		c.Profile = n.bus.DerivedProfile(record.KindSessionID, session, 0)
	}
	return c
}

func (n *node) print(value string) bus.StoredIdentity {
	n.t.Helper()
	found, err := n.bus.GetIdentities(n.t.Context(), []bus.IdentityKey{n.bus.IdentityKey(record.KindFingerprint, "seeing/"+value)})
	if err != nil {
		n.t.Fatal(err)
	}
	return found[0]
}

// kept is for how long the last commit of a profile's partition has a fingerprint's key
// kept: a repeated effect, or a key of a commit that never was, must not stay for good.
func (n *node) kept(profile string) time.Duration {
	n.t.Helper()
	data, _, err := n.bus.LastCommit(n.t.Context(), n.bus.Partition(profile))
	if err != nil {
		n.t.Fatal(err)
	}
	c, err := record.ParseCommit(data)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, h := range c.Holders {
		if strings.HasPrefix(h.Key, record.KindFingerprint+".") {
			return h.Identity.TTL
		}
	}
	n.t.Fatalf("commit %d moves no fingerprint: %+v", c.C, c.Holders)
	return 0
}

// A visitor without anything else is known by a fingerprint for the time that its
// source says, and no longer; it is written again as long as it is in use.
func TestAFingerprintIsKnownForItsTime(t *testing.T) {
	n, ahead := startEnriching(t)
	ahead.Store(int64(time.Since(clock()))) // the bus says by its own clock when a key was written
	visit := func(id, session string) string {
		n.send(n.seen(id, session, "f", ""))
		return n.outcome(id).Profile
	}
	first := visit("1", "s1")
	written := n.print("f")
	if written.Identity.Profile != first || written.Identity.TTL != 15*time.Minute || n.kept(first) != 15*time.Minute {
		t.Fatalf("the key is %+v, the profile %s; the commit keeps it for %s", written, first, n.kept(first))
	}
	if again := visit("2", "s2"); again != first || n.print("f").Revision != written.Revision {
		t.Errorf("at once: profile %s, want %s; the key %+v", again, first, n.print("f"))
	}
	ahead.Add(int64(6 * time.Minute))
	if again := visit("3", "s3"); again != first {
		t.Errorf("after 6 minutes: profile %s, want %s", again, first)
	}
	renewed := n.print("f")
	if renewed.Revision == written.Revision || renewed.Identity.TTL != 15*time.Minute {
		t.Errorf("after 6 minutes the key is still %+v", renewed)
	}
	ahead.Add(int64(14 * time.Minute))
	if again := visit("4", "s4"); again != first {
		t.Errorf("14 minutes later: profile %s, want %s", again, first)
	}
	ahead.Add(int64(15 * time.Minute))
	other := visit("5", "s5")
	if other == first || n.print("f").Identity.Profile != other {
		t.Errorf("15 minutes later: profile %s; the key is %+v", other, n.print("f"))
	}
	if doc := n.document(other); len(doc.Profile.Identities) > 0 {
		t.Errorf("identities %v", doc.Profile.Identities)
	}
}

// Users who share a browser stay apart: the fingerprint goes along with their events
// and takes none of them.
func TestUsersOfOneFingerprintStayApart(t *testing.T) {
	n, _ := startEnriching(t)
	send := func(id, session, user string) string {
		n.send(n.seen(id, session, "f", user))
		return n.outcome(id).Profile
	}
	ann := send("1", "s1", "ann")
	bob := send("2", "s2", "bob")
	if ann == bob || n.kept(bob) != 15*time.Minute {
		t.Fatalf("ann is %s, bob %s; the commit keeps the key for %s", ann, bob, n.kept(bob))
	}
	for i, c := range []struct{ session, user, want string }{
		{"s3", "", bob},    // nobody else yet
		{"s1", "", ann},    // in the session of another
		{"s4", "", ann},    // whom it follows
		{"s4", "bob", bob}, // who logs in
		{"s4", "", bob},
	} {
		id := string(rune('a' + i))
		command := n.seen(id, c.session, "f", c.user)
		if c.session == "s1" || c.session == "s4" && i == 4 {
			command.Profile = c.want // the gateway knows the session
		}
		n.send(command)
		if got := n.outcome(id).Profile; got != c.want || n.print("f").Identity.Profile != c.want {
			t.Errorf("%s: profile %s, want %s; the key %+v", id, got, c.want, n.print("f"))
		}
	}
	n.settled()
	for user, id := range map[string]string{"ann": ann, "bob": bob} {
		doc := n.document(id)
		if doc.State != record.StateLive || len(doc.Profile.IDs) != 1 || len(doc.Profile.Identities) != 1 || doc.Profile.Identities["user"][0] != user {
			t.Errorf("%s: %s", user, doc.AppendJSON(nil))
		}
	}
}

// A source that says another time has its keys kept for that from their next use on.
func TestAFingerprintIsKeptForTheTimeThatItsSourceSaysNow(t *testing.T) {
	n, _ := startEnriching(t)
	n.send(n.seen("1", "s1", "", ""))
	first := n.outcome("1").Profile
	key := n.bus.IdentityKey(record.KindFingerprint, "seeing/f")
	if _, err := n.bus.CreateIdentity(t.Context(), key, record.Identity{Profile: first, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	n.send(n.seen("2", "s1", "f", ""))
	if o := n.outcome("2"); o.Profile != first || n.print("f").Identity.TTL != 15*time.Minute {
		t.Errorf("profile %s, want %s; the key %+v", o.Profile, first, n.print("f"))
	}
}

// What an erased profile's browser looked like leads to somebody new.
func TestAnErasedProfilesFingerprintIsFreed(t *testing.T) {
	n, _ := startEnriching(t)
	n.send(n.seen("1", "s1", "f", ""))
	first := n.outcome("1").Profile
	n.send(&record.Command{Kind: record.KindErase, ID: record.EventID("erase", "1"), Profile: first, Received: noon.Add(time.Minute), Body: record.AppendErase(nil, &record.Erase{By: "admin"})})
	n.settled()
	later := n.seen("2", "s2", "f", "")
	later.Received = noon.Add(time.Hour)
	n.send(later)
	other := n.outcome("2").Profile
	n.settled()
	if other == first || other == "" || n.print("f").Identity.Profile != other || n.print("f").Identity.TTL != 15*time.Minute {
		t.Errorf("the erased one is %s, the new one %s; the key %+v", first, other, n.print("f"))
	}
}
