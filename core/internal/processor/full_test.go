package processor

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

// TestForwardsThroughAFullLog has a log that is full of events which all belong
// to others than they were sent to, so that each partition needs room that only
// the other partitions' work can make.
func TestForwardsThroughAFullLog(t *testing.T) {
	dir := t.TempDir()
	b, err := bus.Open(t.Context(), bus.Options{Dir: dir, Partitions: 4, Durability: bus.DurabilityProcess, DiskReserve: 1, IngestMaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close(context.Background()) }()
	n := &node{t: t, dir: dir, bus: b}
	n.configure()
	owners := make([]string, b.Partitions()) // a profile in each partition
	for found, i := 0, 0; found < len(owners); i++ {
		c := n.adds(fmt.Sprint("first-", i), fmt.Sprint("user-", i), 1, "")
		if p := b.Partition(c.Profile); owners[p] == "" {
			owners[p] = c.Profile
			found++
			n.send(c)
		}
	}
	sent := len(owners)
	run := func(slots int) {
		t.Helper()
		p := process(t, b, dir)
		p.slots = make(chan struct{}, slots)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		eventually(t, "all to be processed", func() bool {
			done, end, err := p.Processed(ctx)
			last, err2 := b.EventsLast(ctx)
			// Each event makes a profile, and tells so.
			return err == nil && err2 == nil && done >= end && last == 2*uint64(sent)
		})
		cancel()
		if err := errors.Join(<-ended, p.Close()); err != nil {
			t.Fatal(err)
		}
	}
	run(4)
	padding := strings.Repeat("x", 4000)
	for full := false; !full; {
		for _, owner := range owners {
			c := n.adds(fmt.Sprint("other-", sent), fmt.Sprint("another-", sent), 1, "")
			c.Event.Context = fmt.Appendf(nil, `{"padding":%q}`, padding)
			c.Profile = owner
			soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			err := b.PublishCommands(soon, []record.Routed{{Partition: b.Partition(owner), Command: record.AppendCommand(nil, c)}})
			cancel()
			if full = err != nil; full {
				break
			}
			sent++
		}
	}
	run(1)
}
