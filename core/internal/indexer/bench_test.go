package indexer

import (
	"fmt"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// BenchmarkIndex measures events from the bus into the store, with a profile
// change an event.
func BenchmarkIndex(b *testing.B) {
	r := newRig(b)
	for left := b.N; left > 0; left -= 1000 {
		r.send(min(left, 1000))
	}
	var puts []bus.DocumentPut
	for i := range b.N {
		id := fmt.Sprintf("p-%d", i)
		p := profile(id, 1)
		p.Traits["email"] = id + "@example.com"
		p.Stats.Events["order-completed"] = sdk.TypeStats{Count: 1, First: start, Last: start}
		d := record.Document{State: record.StateLive, C: 1, Profile: p}
		puts = append(puts, bus.DocumentPut{Profile: id, Data: d.AppendJSON(nil)})
	}
	if _, err := r.bus.PutDocuments(b.Context(), puts); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	r.run(0)
	eventually(b, "all is indexed", func() bool {
		return r.count(store.Events) == uint64(b.N) && r.count(store.Profiles) == uint64(b.N)
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
