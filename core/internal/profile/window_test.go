package profile

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func happened(eventType string, at time.Time, properties string) *sdk.Event {
	return &sdk.Event{Type: eventType, Time: at, Received: at, Properties: sdk.RawObject([]byte(properties)), Valid: true}
}

func emptyDocument() *record.Document {
	return &record.Document{State: record.StateLive, Profile: sdk.NewProfile("p", noon)}
}

// Counts and sums in a window are those of a plain list of occurrences, as
// long as no more than a thousand lie in it, in whatever order they arrive.
func TestWindowsAgreeWithAList(t *testing.T) {
	const span = 10 * time.Minute
	aggregates := []condition.Aggregate{
		{Func: "count", Type: "a", Window: span}, {Func: "sum", Type: "a", Property: "n", Window: span},
		{Func: "sum", Type: "a", Property: "n"},
	}
	rapid.Check(t, func(t *rapid.T) {
		doc := emptyDocument()
		var times []time.Time
		now := noon
		life := 0
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "later")) * time.Second)
			at := now.Add(-time.Duration(rapid.IntRange(-30, 900).Draw(t, "ago")) * time.Second)
			e := happened("a", at, `{"n":2}`)
			CountEvent(doc, e, aggregates, now)
			times = append(times, at)
			life += 2
		}
		want := 0
		for _, at := range times {
			if at.After(now.Add(-span)) && !at.After(now) {
				want++
			}
		}
		total := 2 * want
		h := History{Doc: reread(t, doc), Now: now}
		if got := h.Count("a", span); got != int64(want) {
			t.Fatalf("count = %d, want %d", got, want)
		}
		if got := h.Sum("a", "n", span); plus(int64(0), got) != int64(total) {
			t.Fatalf("sum = %v, want %d", got, total)
		}
		if got := h.Sum("a", "n", 0); got != int64(life) {
			t.Fatalf("lifetime sum = %v, want %d", got, life)
		}
		if got := h.Count("a", 0); got != int64(len(times)) {
			t.Fatalf("lifetime count = %d, want %d", got, len(times))
		}
	})
}

type failer interface {
	Fatal(...any)
	Helper()
}

// reread writes a document and reads it again.
func reread(t failer, doc *record.Document) *record.Document {
	t.Helper()
	back, err := record.ParseDocument(doc.AppendJSON(nil))
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func TestAFullWindowIsExactToASixtieth(t *testing.T) {
	const span, events = time.Hour, 20_000
	aggregates := []condition.Aggregate{{Func: "count", Type: "a", Window: span}}
	doc := emptyDocument()
	for i := range events {
		at := noon.Add(time.Duration(i) * time.Second)
		CountEvent(doc, happened("a", at, `{}`), aggregates, at)
	}
	end := noon.Add((events - 1) * time.Second)
	for _, after := range []time.Duration{0, 7 * time.Minute, 31 * time.Minute} {
		want := 3600 - int64(after.Seconds())
		got := (&History{Doc: doc, Now: end.Add(after)}).Count("a", span)
		if got < want || got > want+60 {
			t.Errorf("%s later: count = %d, want %d to %d", after, got, want, want+60)
		}
	}
	if size := len(doc.AppendJSON(nil)); size > 32<<10 {
		t.Errorf("%d events in a window take %d bytes", events, size)
	}
}

func TestLifetimeNumbersGoByEventTime(t *testing.T) {
	doc := emptyDocument()
	for _, day := range []int{5, 1, 9, 3} {
		CountEvent(doc, happened("a", noon.AddDate(0, 0, day), `{}`), nil, noon)
	}
	got := doc.Profile.Stats.Events["a"]
	if got.Count != 4 || !got.First.Equal(noon.AddDate(0, 0, 1)) || !got.Last.Equal(noon.AddDate(0, 0, 9)) {
		t.Errorf("stats = %+v", got)
	}
	h := History{Doc: doc, Now: noon}
	if h.First("b") != (time.Time{}) || h.Count("b", 0) != 0 || h.Sum("a", "n", time.Hour) != nil {
		t.Error("a type that never came was found")
	}
}

func TestASystemEventIsNoSignOfLife(t *testing.T) {
	doc := emptyDocument()
	CountEvent(doc, happened("a", noon, `{}`), nil, noon)
	for _, at := range []time.Time{noon.Add(-time.Hour), noon.Add(time.Hour)} {
		e := happened(record.TypeSegmentLeft, at, `{}`)
		e.Source = record.SourceSystem
		CountEvent(doc, e, nil, noon)
	}
	s := doc.Profile.Stats
	if !s.FirstSeen.Equal(noon) || !s.LastSeen.Equal(noon) || s.Events[record.TypeSegmentLeft].Count != 2 {
		t.Errorf("stats %+v", s)
	}
}

func TestTypesBeyondFiveHundredAreMarked(t *testing.T) {
	doc := emptyDocument()
	for i := range typesKept + 2 {
		CountEvent(doc, happened(fmt.Sprint("t", i), noon, `{}`), nil, noon)
	}
	if s := doc.Profile.Stats; len(s.Events) != typesKept || !s.Truncated {
		t.Errorf("%d types kept, truncated %v", len(s.Events), s.Truncated)
	}
}

func TestWindowSumsStayExact(t *testing.T) {
	doc := emptyDocument()
	aggregates := []condition.Aggregate{{Func: "sum", Type: "a", Property: "total", Window: time.Hour}}
	for i, total := range []string{"0.1", "0.2", `"x"`, "22.200000000000003"} {
		CountEvent(doc, happened("a", noon.Add(time.Duration(i)), `{"total":`+total+`}`), aggregates, noon)
	}
	if got := (&History{Doc: doc, Now: noon}).Sum("a", "total", time.Hour); got != 22.500000000000003 && got != json.Number("22.500000000000003") {
		t.Errorf("sum = %v", got)
	}
}
