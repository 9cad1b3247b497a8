package processor

import (
	"fmt"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// An anonymous id went from ann to bob and back. Whoever takes bob's partition
// over repeats what bob's commits did: the anonymous id stays ann's, since her
// commit is the later one.
func TestARepeatedCommitTakesNothingBack(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	anon := record.Identifier{Kind: record.KindAnonymous, Value: "b7"}
	key := n.bus.IdentityKey(anon.Kind, anon.Value)
	holder := func() string {
		t.Helper()
		held, _, err := n.bus.GetIdentity(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return held.Profile
	}
	partition := func(user string) int { return n.bus.Partition(n.adds("", user, 0, "").Profile) }
	ann, bob := "ann", "bob"
	for i := 0; partition(bob) == partition(ann); i++ {
		bob = fmt.Sprint("bob", i)
	}
	for i, user := range []string{ann, bob, ann} {
		token := fmt.Sprint("t", i)
		e := n.adds(token, user, 1, token)
		e.Event.IDs = append(e.Event.IDs, anon)
		n.send(e)
		if got, want := n.outcome(token).Profile, e.Profile; got != want || holder() != want {
			t.Fatalf("event %d is about %s, who was there is %s; want %s", i, got, holder(), want)
		}
	}
	want := holder()
	// As a start does, or another node, or the same one after an error.
	next := process(t, n.bus, t.TempDir())
	if err := newPartition(next, partition(bob)).takeOver(t.Context()); err != nil {
		t.Error(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	if got := holder(); got != want {
		t.Errorf("after bob's partition was taken over the anonymous id is of %s, want ann's, %s", got, want)
	}
}
