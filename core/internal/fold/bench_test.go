package fold

import (
	"bytes"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/enrich"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// BenchmarkFold measures the pure part: one typical event into a profile.
func BenchmarkFold(b *testing.B) {
	one := typicalFold(b)
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
}

// typicalFold folds a typical event into a profile, again and again.
func typicalFold(t testing.TB) func() {
	c := command("order-completed", `{"total":22.5,"products":["a","b"],"currency":"EUR","shipping":{"city":"Oslo","zip":"0150"}}`)
	in := Input{
		Rules: compile(t, shop), Command: c,
		Claims: []Claim{{Identifier: record.Identifier{Kind: record.KindUser, Value: "17850"}, Holder: "p1"}},
	}
	var f Fold
	return func() {
		f.Begin(in)
		in.Doc = f.Apply(f.Route()).Doc
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
	in := Input{Rules: r, Command: c, Claims: []Claim{{Identifier: record.Identifier{Kind: record.KindUser, Value: "17850"}, Holder: "p1"}}}
	var f Fold
	var buf []byte
	one := func() {
		c.Event.Context = context
		enricher.Event(c.Event, source)
		f.Begin(in)
		result := f.Apply(f.Route())
		in.Doc, buf = result.Doc, result.Events[result.Own].Data
	}
	one()
	for _, part := range []string{`"valid":true`, `"device":{`, `"app":{"name":"Firefox"`, `"languages":["de-DE","en"]`, `"utm":{`, `"referrer":{"host":"www.google.com"`} {
		if !bytes.Contains(buf, []byte(part)) {
			t.Fatalf("%s lacks %s", buf, part)
		}
	}
	return one
}

// BenchmarkFoldOfABuiltInType measures what types of the catalogue cost: a page view
// has none of its properties read, an order changes its profile in many places.
func BenchmarkFoldOfABuiltInType(b *testing.B) {
	for eventType, properties := range map[string]string{
		"of-no-type":      `{"url":"https://shop.example/sale","title":"Sale","product_id":"sku-7"}`,
		"page-view":       `{"url":"https://shop.example/sale","title":"Sale","product_id":"sku-7"}`,
		"product-viewed":  `{"product_id":"sku-7","name":"Kettle","category":"kitchen","brand":"Brewer","price":39.9}`,
		"order-completed": `{"order_id":"o-17","total":59.8,"currency":"EUR","products":[{"product_id":"sku-7","quantity":1,"price":39.9}]}`,
	} {
		b.Run(eventType, func(b *testing.B) {
			in := Input{Rules: compile(b, ""), Command: command(eventType, properties)}
			var f Fold
			b.ReportAllocs()
			for b.Loop() {
				f.Begin(in)
				in.Doc = f.Apply(f.Route()).Doc
			}
		})
	}
}
