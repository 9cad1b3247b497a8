package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/enrich"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// BenchmarkFold measures the pure part: one typical event into a profile.
func BenchmarkFold(b *testing.B) {
	r := compile(b, shop)
	c := command("order-completed", `{"total":22.5,"products":["a","b"],"currency":"EUR","shipping":{"city":"Oslo","zip":"0150"}}`)
	claims := []claim{{Identifier: record.Identifier{Kind: record.KindUser, Value: "17850"}, holder: "p1"}}
	doc := examine(r, nil, c).apply("p1", claims)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		a := examine(r, doc, c)
		doc = a.apply("p1", claims)
		buf = a.processed().AppendJSON(buf[:0])
	}
}

// BenchmarkFoldOfABrowser measures the pure part with all that is done for an event
// of a browser: its schema, and what its user agent, languages, campaign and
// referrer tell.
func BenchmarkFoldOfABrowser(b *testing.B) {
	one := foldOfABrowser(b)
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
}

// foldOfABrowser folds an event of a browser into a profile, again and again.
func foldOfABrowser(t testing.TB) func() {
	r := compile(t, shop)
	enricher, source := enrich.New(nil), &config.Source{ID: "shop", IP: config.IPKeep}
	c := command("order-completed", `{"total":22.5,"products":["a","b"],"currency":"EUR","shipping":{"city":"Oslo","zip":"0150"}}`)
	context := []byte(`{"ip":"203.0.113.7","userAgent":"Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0","languages":"de-DE,en;q=0.5",` +
		`"page":{"url":"https://shop.example/sale?utm_source=news&utm_medium=mail&utm_campaign=spring","referrer":"https://www.google.com/"}}`)
	claims := []claim{{Identifier: record.Identifier{Kind: record.KindUser, Value: "17850"}, holder: "p1"}}
	var doc *record.Document
	var buf []byte
	one := func() {
		c.Event.Context = context
		enricher.Event(c.Event, source)
		a := examine(r, doc, c)
		doc = a.apply("p1", claims)
		buf = a.processed().AppendJSON(buf[:0])
	}
	one()
	for _, part := range []string{`"valid":true`, `"device":{`, `"app":{"name":"Firefox"`, `"languages":["de-DE","en"]`, `"utm":{`, `"referrer":{"host":"www.google.com"`} {
		if !bytes.Contains(buf, []byte(part)) {
			t.Fatalf("%s lacks %s", buf, part)
		}
	}
	return one
}

// BenchmarkProcess measures the whole processor on a real bus: events that
// wait in the log, folded, committed, their effects completed.
func BenchmarkProcess(b *testing.B) {
	for _, durability := range []bus.Durability{bus.DurabilityProcess, bus.DurabilityFsync} {
		b.Run(string(durability), func(b *testing.B) { benchmarkProcess(b, durability) })
	}
}

func benchmarkProcess(b *testing.B, durability bus.Durability) {
	dir := b.TempDir()
	n := &node{t: b, dir: dir, bus: openBus(b, dir, durability), outcomes: map[string]record.Outcome{}}
	defer func() { _ = n.bus.Close(context.Background()) }()
	n.configure()
	const perBatch, users = 100, 1000
	for i := 0; i < b.N; i += perBatch {
		batch := make([]*record.Command, 0, perBatch)
		for j := i; j < min(i+perBatch, b.N); j++ {
			batch = append(batch, n.adds(fmt.Sprint(j), fmt.Sprint("u", j%users), j%10, ""))
		}
		n.send(batch...)
	}
	p := process(b, n.bus, dir)
	end, err := n.bus.IngestLast(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	eventually(b, "all to be processed", func() bool {
		done, _, err := p.Processed(ctx)
		return err == nil && done >= end
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	cancel()
	if err := errors.Join(<-ended, p.Close()); err != nil {
		b.Fatal(err)
	}
}
