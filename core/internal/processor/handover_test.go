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

// Of two commits that moved a key a power cut has left neither move. Whoever
// repeats them, in whatever order, ends at the later one's holder.
func TestLostMovesAreRepeatedInAnyOrder(t *testing.T) {
	n, stopReplies := prepare(t, t.TempDir())
	defer func() {
		stopReplies()
		_ = n.p.Close()
		_ = n.bus.Close(t.Context())
	}()
	first, second := record.CommitID{Partition: 1, C: 7}, record.CommitID{Partition: 2, C: 9}
	for name, order := range map[string][]int{"as they were": {0, 1}, "the later one first": {1, 0}, "again": {0, 1, 0, 1}} {
		key := n.bus.IdentityKey(record.KindSessionID, name)
		before := record.Identity{Profile: "p0", By: record.CommitID{Partition: 3, C: 4}}
		revision, err := n.bus.CreateIdentity(t.Context(), key, before)
		if err != nil {
			t.Fatal(err)
		}
		moves := []record.Holder{
			{Key: string(key), Identity: record.Identity{Profile: "p1", By: first}, From: before.By, Revision: revision},
			{Key: string(key), Identity: record.Identity{Profile: "p2", By: second}, From: first, Revision: revision + 100},
		}
		for _, i := range order {
			if err := n.p.moveIdentity(t.Context(), moves[i]); err != nil {
				t.Fatal(err)
			}
		}
		if got, _, err := n.bus.GetIdentity(t.Context(), key); err != nil || got.Profile != "p2" {
			t.Errorf("%s: the key is of %s, want p2 (%v)", name, got.Profile, err)
		}
	}
}
