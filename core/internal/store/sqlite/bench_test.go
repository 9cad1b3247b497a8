package sqlite

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

func event(i int) []byte {
	e := sdk.Event{
		ID: fmt.Sprintf("0198f1c2-%04x-7%03x-8%03x-%012x", i>>12, i%4096, i*7%4096, i), Type: fmt.Sprintf("type-%d", i%40), Source: "shop",
		Session: fmt.Sprintf("session-%d", i/10), Profile: fmt.Sprintf("5b0c2f4e-0000-8000-8000-%012x", i*7919%50000),
		Time: time.UnixMilli(1760000000000 + int64(i)*37).UTC(), Received: time.UnixMilli(1760000000100 + int64(i)*37).UTC(),
		Properties: sdk.NewObject(map[string]any{"total": float64(i%1000) + 0.5, "currency": "EUR", "sku": fmt.Sprintf("SKU-%d", i%977),
			"items": []any{map[string]any{"id": int64(i), "name": "A thing of some length", "price": 12.5}, map[string]any{"id": int64(i + 1), "name": "Another", "price": 1.25}}}),
		Context: sdk.NewObject(map[string]any{"ip": "203.0.113.7", "page": map[string]any{"url": "https://shop.example/a/b/c", "title": "A page"}}),
		Valid:   true,
	}
	return e.AppendJSON(nil)
}

func BenchmarkApply(b *testing.B) {
	s, err := Open(b.Context(), Options{Path: filepath.Join(b.TempDir(), "store.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	i := 0
	var spent time.Duration
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for i < b.N {
		var batch store.Batch
		for len(batch.Put) < 1000 && i < b.N {
			doc, err := store.NewDocument(store.Events, event(i))
			if err != nil {
				b.Fatal(err)
			}
			batch.Put = append(batch.Put, doc)
			i++
		}
		batch.Position = []byte("x")
		start := cpu()
		if _, err := s.Apply(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		spent += cpu() - start
	}
	b.ReportMetric(float64(b.N)/spent.Seconds(), "docs/cpu-s")
	b.ReportMetric(float64(len(event(1))), "B/doc")
}
func BenchmarkNewDocument(b *testing.B) {
	body := event(1)
	for b.Loop() {
		if _, err := store.NewDocument(store.Events, body); err != nil {
			b.Fatal(err)
		}
	}
}
