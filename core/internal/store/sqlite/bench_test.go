package sqlite

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/storetest"
	"github.com/tributary-bus/tributary/sdk"
)

const benchProfiles = 50_000

// benchEvent makes an event of common size; its profile is one of many.
func benchEvent(b *testing.B, i int) store.Document {
	e := sdk.Event{
		ID: fmt.Sprintf("0198f1c2-%04x-7%03x-8%03x-%012x", i>>12, i%4096, i*7%4096, i), Type: fmt.Sprintf("type-%d", i%40), Source: "shop",
		Session: fmt.Sprintf("session-%d", i/10), Profile: fmt.Sprintf("5b0c2f4e-0000-8000-8000-%012x", i*7919%benchProfiles),
		Time: storetest.Start.Add(time.Duration(i) * 37 * time.Millisecond), Received: storetest.Start.Add(time.Duration(i) * 37 * time.Millisecond),
		Properties: sdk.NewObject(map[string]any{"total": float64(i%1000) + 0.5, "currency": "EUR", "sku": fmt.Sprintf("SKU-%d", i%977),
			"items": []any{map[string]any{"id": int64(i), "name": "A thing of some length", "price": 12.5}, map[string]any{"id": int64(i + 1), "name": "Another", "price": 1.25}}}),
		Context: sdk.NewObject(map[string]any{"ip": "203.0.113.7", "page": map[string]any{"url": "https://shop.example/a/b/c", "title": "A page"}}),
		Valid:   true,
	}
	doc, err := store.NewDocument(store.Events, e.AppendJSON(nil))
	if err != nil {
		b.Fatal(err)
	}
	return doc
}

// fillEvents applies the first n events, a thousand at a time, and tells how
// long the process computed for it, and how long it took.
func fillEvents(b *testing.B, s *Store, n int) (cpu, took time.Duration) {
	computed := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for i := 0; i < n; {
		batch := store.Batch{Position: []byte("x")}
		for ; len(batch.Put) < 1000 && i < n; i++ {
			batch.Put = append(batch.Put, benchEvent(b, i))
		}
		atCPU, at := computed(), time.Now()
		if _, err := s.Apply(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		cpu, took = cpu+computed()-atCPU, took+time.Since(at)
	}
	return cpu, took
}

func BenchmarkApply(b *testing.B) {
	s := openStore(b)
	cpu, took := fillEvents(b, s, b.N)
	b.ReportMetric(float64(b.N)/took.Seconds(), "docs/s")
	b.ReportMetric(float64(b.N)/cpu.Seconds(), "docs/core-s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkQuery asks a store of a million events; p99 is of all rounds.
func BenchmarkQuery(b *testing.B) {
	const events = 1_000_000
	s := openStore(b)
	fillEvents(b, s, events)
	profile := func(i int) string {
		return fmt.Sprintf(`event.profile == "5b0c2f4e-0000-8000-8000-%012x"`, i*31%benchProfiles)
	}
	for _, c := range []struct {
		name string
		ask  func(i int) error
	}{
		{"profile", func(i int) error {
			return ask(b, s, store.Query{Filter: storetest.Filter(b, store.Events, profile(i))})
		}},
		{"type", func(i int) error {
			return ask(b, s, store.Query{Filter: storetest.Filter(b, store.Events, fmt.Sprintf(`event.type == "type-%d"`, i%40))})
		}},
		{"type and total", func(i int) error {
			return ask(b, s, store.Query{Filter: storetest.Filter(b, store.Events, fmt.Sprintf(`event.type == "type-%d" && event.properties.total > 900`, i%40))})
		}},
		{"id", func(i int) error {
			return ask(b, s, store.Query{Filter: storetest.Filter(b, store.Events, fmt.Sprintf(`event.id == "0198f1c2-%04x-7%03x-8%03x-%012x"`, i>>12, i%4096, i*7%4096, i))})
		}},
		{"newest", func(int) error { return ask(b, s, store.Query{}) }},
		{"count of profile", func(i int) error {
			_, err := s.Count(b.Context(), store.Events, storetest.Filter(b, store.Events, profile(i)))
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				at := time.Now()
				if err := c.ask(len(took)); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(at))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
	// These read the whole table.
	for _, c := range []struct {
		name string
		ask  func() error
	}{
		{"count by property", func() error {
			_, err := s.Count(b.Context(), store.Events, storetest.Filter(b, store.Events, `event.properties.total > 900`))
			return err
		}},
		{"histogram by hour", func() error {
			_, err := s.Histogram(b.Context(), store.HistogramQuery{Kind: store.Events, Field: sdk.Path{"time"}, Interval: time.Hour})
			return err
		}},
		{"terms of type", func() error {
			_, err := s.Terms(b.Context(), store.TermsQuery{Kind: store.Events, Field: sdk.Path{"type"}})
			return err
		}},
		{"terms of property", func() error {
			_, err := s.Terms(b.Context(), store.TermsQuery{Kind: store.Events, Field: sdk.Path{"properties", "sku"}})
			return err
		}},
		{"sort by property", func() error { return ask(b, s, store.Query{Sort: "-properties.total"}) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if err := c.ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("reset", func(b *testing.B) {
		at := time.Now()
		if err := s.Reset(b.Context()); err != nil {
			b.Fatal(err)
		}
		if took := time.Since(at); took > 100*time.Millisecond { // the first one; later ones find nothing
			b.Logf("reset of %d events: %s", events, took)
		}
	})
}

func ask(b *testing.B, s *Store, q store.Query) error {
	q.Kind = store.Events
	page, err := s.Query(b.Context(), q)
	if err == nil && len(page.Documents) == 0 {
		err = fmt.Errorf("nothing found by %+v", q)
	}
	return err
}
