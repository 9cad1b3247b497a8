package erasure

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

// BenchmarkEvents erases a person of a thousand events from among half a million
// of one partition: how fast the partition is read, and how fast events are overwritten.
func BenchmarkEvents(b *testing.B) {
	const events, every = 500_000, 500
	box, err := bus.Open(b.Context(), bus.Options{
		Dir: b.TempDir(), Durability: bus.DurabilityProcess, Partitions: 1, DiskReserve: 1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := box.Close(context.Background()); err != nil {
			b.Error(err)
		}
	}()
	var c uint64
	fill := func(profile string) {
		for sent := 0; sent < events; {
			var list []bus.EventMessage
			c++
			for n := range 1000 {
				of := "somebody-else"
				if sent%every == 0 {
					of = profile
				}
				list = append(list, bus.EventMessage{C: c, N: n + 1, Type: "page-view", Data: fmt.Appendf(nil,
					`{"event":{"id":"e-%d","type":"page-view","source":"shop","session":"s","profile":%q,"properties":{"text":"%0400d"}}}`, sent, of, sent)})
				sent++
			}
			if err := box.PublishEvents(b.Context(), list); err != nil {
				b.Fatal(err)
			}
		}
	}
	for i := range b.N {
		b.StopTimer()
		profile := fmt.Sprint("person-", i)
		fill(profile)
		b.StartTimer()
		began := time.Now()
		counts, err := Events(box, nil).Erase(b.Context(), []Target{{Profile: profile, IDs: []string{profile}}})
		if err != nil || counts[0].Removed != events/every || counts[0].Remaining != 0 {
			b.Fatal(counts, err)
		}
		took := time.Since(began)
		began = time.Now()
		if err := box.EventsOf(b.Context(), 0, func(bus.StoredEvent) error { return nil }); err != nil {
			b.Fatal(err)
		}
		read := time.Since(began)
		b.ReportMetric(float64(events*(i+1))/read.Seconds(), "read/s")
		b.ReportMetric(float64(events/every)/(took-2*read).Seconds(), "erased/s")
	}
}
