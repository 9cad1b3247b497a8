package fold

import (
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// BenchmarkFoldOfAVisit measures the pure part with an event of a visit that goes on.
func BenchmarkFoldOfAVisit(b *testing.B) {
	c := command("page-view", `{"url":"/"}`)
	c.Event.Session, c.Event.Context = "s-1", []byte(`{"os":{"name":"Linux"},"page":{"url":"/"}}`)
	in := Input{Rules: compile(b, shop), Command: c, Claims: []Claim{{Identifier: record.Identifier{Kind: record.KindUser, Value: "17850"}, Holder: "p1"}}}
	var f Fold
	b.ReportAllocs()
	for b.Loop() {
		f.Begin(in)
		in.Doc = f.Apply(f.Route()).Doc
	}
}

// BenchmarkFoldOfAStranger measures the pure part with the first event of somebody new,
// with the three that it causes.
func BenchmarkFoldOfAStranger(b *testing.B) {
	c := command("page-view", `{"url":"/"}`)
	c.Event.Session, c.Event.Context = "s-1", []byte(`{"os":{"name":"Linux"},"page":{"url":"/"}}`)
	in := Input{Rules: compile(b, shop), Command: c, Claims: []Claim{{Identifier: record.Identifier{Kind: record.KindUser, Value: "17850"}, Holder: "p1"}}}
	var f Fold
	b.ReportAllocs()
	for b.Loop() {
		f.Begin(in)
		f.Apply(f.Route())
	}
}
