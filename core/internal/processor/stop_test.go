package processor

import (
	"context"
	"fmt"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// A stop ends with a checkpoint: each partition keeps its last commit, which
// seals it, and a start has nothing to repeat.
func TestAStopLeavesNothingToRepeat(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	n.configure()
	for i := range 10 {
		token := fmt.Sprint("t", i)
		n.send(n.adds(token, "u", 1, token))
		n.outcome(token)
	}
	n.stop()
	b := openBus(t, dir, bus.DurabilityProcess)
	defer b.Close(context.Background())
	for p := range b.Partitions() {
		commits := 0
		if err := b.Commits(t.Context(), p, func([]byte, uint64) error { commits++; return nil }); err != nil {
			t.Fatal(err)
		}
		if commits > 1 {
			t.Errorf("partition %d has %d commits after a stop, want its seal alone", p, commits)
		}
	}
}

// What Processed says is done can be read: the event is stored, not only its commit.
func TestProcessedMeansStored(t *testing.T) {
	n := start(t, t.TempDir())
	for round := 1; round <= 300; round++ {
		id := fmt.Sprint("e-", round)
		n.send(n.adds(id, fmt.Sprint("u-", round), 1, ""))
		eventually(t, "the event to be processed", func() bool {
			done, end, err := n.p.Processed(t.Context())
			return err == nil && done >= end
		})
		last, err := n.bus.EventsLast(t.Context())
		if err != nil || last != 2*uint64(round) { // each makes a profile, and tells so
			t.Fatalf("after %d events EVENTS ends at %d: %v", round, last, err)
		}
	}
}

// A commit whose effects are under way is not done with, also where the log has
// been purged of its commands.
func TestProcessedWaitsForEffectsOfWhatIsPurged(t *testing.T) {
	n := start(t, t.TempDir())
	for i := range 5 {
		n.send(n.adds(fmt.Sprint("e-", i), "u", 1, ""))
	}
	processed := func() (done, end uint64) {
		t.Helper()
		done, end, err := n.p.Processed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return done, end
	}
	eventually(t, "all to be processed", func() bool { done, end := processed(); return end == 5 && done == end })
	if err := n.bus.PurgeIngest(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	number := n.bus.Partition(n.adds("x", "u", 1, "").Profile)
	n.p.mu.Lock()
	n.p.standing[number].completed = record.Position{Seq: 3, Done: record.AllDone}
	n.p.mu.Unlock()
	if done, end := processed(); done != 3 || end != 5 {
		t.Errorf("processed up to %d of %d, want 3 of 5", done, end)
	}
}
