package profile

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func happened(eventType string, at time.Time, properties string) *sdk.Event {
	return &sdk.Event{Type: eventType, Time: at, Received: at, Properties: sdk.RawObject([]byte(properties)), Valid: true}
}

func emptyDocument() *record.Document {
	return &record.Document{State: record.StateLive, Profile: sdk.NewProfile("p", noon)}
}

// keeping makes aggregates that are kept since the first revision.
func keeping(list ...Aggregate) *Aggregates {
	for i := range list {
		list[i].Since = max(list[i].Since, 1)
	}
	return NewAggregates(1, list)
}

// A naive is a window as a plain list.
type naive struct {
	at    []time.Time
	value []int64
}

// in are the occurrences after from up to now, and the sum of them.
func (n *naive) in(from, now time.Time) (count, sum int64) {
	for i, at := range n.at {
		if at.After(from) && !at.After(now) {
			count++
			sum += n.value[i]
		}
	}
	return count, sum
}

// A crowd draws events of a type: some now, many back-dated, by up to days, to within
// the window, before it and to its edges, some dated into the future, in bursts.
func crowd(t *rapid.T, span time.Duration, now *time.Time, each func(*sdk.Event), into *naive) {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	for range rapid.IntRange(1, 5).Draw(t, "bursts") {
		*now = now.Add(time.Duration(rapid.Int64Range(0, int64(span/2)).Draw(t, "later"))).Truncate(time.Millisecond)
		back := time.Duration(rapid.Int64Range(int64(-span), int64(3*span)).Draw(t, "back"))
		spread := rapid.Int64Range(1, int64(span)).Draw(t, "spread")
		for range rapid.SampledFrom([]int{1, 3, 60, 999, 1001}).Draw(t, "events") {
			at := now.Add(-back - time.Duration(random.Int64N(spread))).Truncate(time.Millisecond)
			value := random.Int64N(9) - 3
			e := happened("a", at, fmt.Sprintf(`{"n":%d}`, value))
			e.Received = *now
			each(e)
			if at.After(*now) {
				at = *now // a clock that was ahead
			}
			into.at, into.value = append(into.at, at), append(into.value, value)
		}
	}
}

// agree holds a document to what is promised: exact to a thousand occurrences in the
// window, else to what lies in the sixtieth before it; lifetimes exact; never large.
func agree(t *rapid.T, doc *record.Document, kept *Aggregates, span time.Duration, all *naive, now time.Time) {
	h := History{Doc: reread(t, doc), Now: now, Kept: kept}
	count, sum := h.Count("a", span), plus(int64(0), h.Sum("a", "n", span)).(int64)
	want, total := all.in(now.Add(-span), now)
	before, _ := all.in(now.Add(-span-span/60-time.Millisecond), now.Add(-span))
	switch {
	case want <= windowExact && (count != want || sum != total):
		t.Fatalf("count, sum = %d, %d, want %d, %d", count, sum, want, total)
	case count < want || count > want+before:
		t.Fatalf("count = %d, want %d to %d", count, want, want+before)
	}
	life := int64(0)
	for _, v := range all.value {
		life += v
	}
	if got := h.Sum("a", "n", 0); got != life {
		t.Fatalf("lifetime sum = %v, want %d", got, life)
	}
	for name, w := range doc.Windows {
		if len(w.Times) > windowExact || len(w.Slots) > maxSlots(w) {
			t.Fatalf("window %s holds %d occurrences and %d slots", name, len(w.Times), len(w.Slots))
		}
	}
}

// maxSlots is how many sixtieths a window is cut into, and those at its ends; a few more
// where its milliseconds cannot be cut into sixty.
func maxSlots(w *record.Window) int { return int(w.Span/slotLength(w)) + 2 }

// spans are from one that has no sixtieth to years.
var spans = rapid.SampledFrom([]time.Duration{
	time.Millisecond, 45 * time.Millisecond, 119 * time.Millisecond, time.Second, 7 * time.Minute, time.Hour, 30 * 24 * time.Hour, 20 * 365 * 24 * time.Hour,
})

func aggregatesOver(span time.Duration) *Aggregates {
	return keeping(Aggregate{Type: "a", Window: span}, Aggregate{Type: "a", Property: "n", Window: span}, Aggregate{Type: "a", Property: "n"})
}

// Counts and sums in a window are those of a plain list of occurrences, whatever
// comes in whatever order, at every later time; and a window stays small.
func TestWindowsAgreeWithAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := spans.Draw(t, "span")
		kept, doc, now, all := aggregatesOver(span), emptyDocument(), noon, &naive{}
		crowd(t, span, &now, func(e *sdk.Event) { CountEvent(doc, e, kept, e.Received) }, all)
		for range 4 {
			agree(t, doc, kept, span, all, now)
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(span/2)).Draw(t, "read later")))
		}
		if got := (&History{Doc: doc, Now: now}).Count("a", 0); got != int64(len(all.at)) {
			t.Fatalf("lifetime count = %d, want %d", got, len(all.at))
		}
	})
}

// Two profiles that become one have the windows of both, as promised of each; what is
// found of stored events comes to the same.
func TestUnitedWindowsAgreeWithAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := spans.Draw(t, "span")
		kept, now, all := aggregatesOver(span), noon, &naive{}
		docs := []*record.Document{emptyDocument(), emptyDocument()}
		found := map[string]*record.Window{}
		docs[1].Profile.ID = "q"
		part := rapid.SliceOfN(rapid.IntRange(0, 2), 1, 20).Draw(t, "whose")
		n := 0
		crowd(t, span, &now, func(e *sdk.Event) {
			if whose := part[n%len(part)]; whose < 2 {
				CountEvent(docs[whose], e, kept, e.Received)
			} else {
				found = kept.Enter(found, e, e.Received)
			}
			n++
		}, all)
		now = now.Add(time.Duration(rapid.Int64Range(0, int64(span/3)).Draw(t, "until")))
		into, other := docs[0], docs[1]
		b := &record.Backfill{Profile: "q", Fill: record.Fill{Since: 1, Chunk: 1}, Windows: found}
		fill := func(doc *record.Document) { Fill(doc, again(t, b), kept, now) }
		if rapid.Bool().Draw(t, "fill first") {
			fill(other)
		}
		Unite(into, other, nil, now)
		for range 2 {
			fill(into) // once, however often it comes
		}
		agree(t, into, kept, span, all, now)
		agree(t, into, kept, span, all, now.Add(span/2))
	})
}

// again writes a find and reads it again.
func again(t failer, b *record.Backfill) *record.Backfill {
	t.Helper()
	back, err := record.ParseBackfill(record.AppendBackfill(nil, b))
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// Windows of different times do not add up their slots.
func TestUnitedWindowsStaySmall(t *testing.T) {
	const span = time.Hour
	kept, into, now := aggregatesOver(span), emptyDocument(), noon
	for i := range 5 {
		other := emptyDocument()
		for range 3 * windowExact {
			now = now.Add(span / (2 * windowExact))
			CountEvent(other, happened("a", now, `{"n":1}`), kept, now)
		}
		other.Profile.ID = fmt.Sprint("q", i)
		Unite(into, other, nil, now)
	}
	for name, w := range into.Windows {
		if len(w.Times) > windowExact || len(w.Slots) > maxSlots(w) {
			t.Errorf("window %s holds %d occurrences and %d slots", name, len(w.Times), len(w.Slots))
		}
	}
	if size := len(into.AppendJSON(nil)); size > 64<<10 {
		t.Errorf("the document takes %d bytes", size)
	}
}

// First, last and the lifetime do not depend on the order in which events come, nor do
// windows.
func TestTheOrderOfArrivalDoesNotMatter(t *testing.T) {
	const span = 24 * time.Hour
	kept := aggregatesOver(span)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "events")
		events := make([]*sdk.Event, n)
		for i := range events {
			at := noon.Add(-time.Duration(rapid.Int64Range(0, int64(9*span)).Draw(t, "ago"))).Truncate(time.Millisecond)
			events[i] = happened("a", at, fmt.Sprintf(`{"n":%d.1}`, i))
			events[i].Received = noon
		}
		text := func(order []*sdk.Event) string {
			doc := emptyDocument()
			for _, e := range order {
				CountEvent(doc, e, kept, noon)
			}
			h := History{Doc: doc, Now: noon, Kept: kept}
			return fmt.Sprint(h.Count("a", 0), h.First("a"), h.Last("a"), h.Count("a", span), h.Sum("a", "n", span), h.Sum("a", "n", 0))
		}
		if a, b := text(events), text(rapid.Permutation(events).Draw(t, "order")); a != b {
			t.Fatalf("%s and, in another order, %s", a, b)
		}
	})
}

// Events that a clock dated into the future do not push out what is in the window.
func TestAClockThatIsAheadDoesNotFillAWindow(t *testing.T) {
	const span = time.Minute
	kept, doc := aggregatesOver(span), emptyDocument()
	for i := range 5000 {
		e := happened("a", noon.AddDate(0, 0, i), `{"n":1}`)
		e.Received = noon.Add(time.Duration(i) * time.Hour)
		CountEvent(doc, e, kept, e.Received)
	}
	end := noon.Add(4999 * time.Hour)
	h := History{Doc: doc, Now: end, Kept: kept}
	if got := h.Count("a", span); got != 1 {
		t.Errorf("count = %d, want 1", got)
	}
	if last := doc.Profile.Stats.Events["a"].Last; last.After(end) || doc.Profile.Stats.LastSeen.After(end) {
		t.Errorf("the last one was at %s, after now", last)
	}
	if size := len(doc.AppendJSON(nil)); size > 2000 {
		t.Errorf("the document takes %d bytes", size)
	}
}

// A window that nobody reads any more goes at the next event, also of another type; one
// that went and came again starts anew, and until then does not answer.
func TestWindowsThatNobodyReadsAreDropped(t *testing.T) {
	const span = time.Hour
	kept, doc := aggregatesOver(span), emptyDocument()
	CountEvent(doc, happened("a", noon, `{"n":1}`), kept, noon)
	Fill(doc, &record.Backfill{Profile: "p", Fill: record.Fill{Since: 1, Chunk: 1}, Windows: kept.Enter(nil, happened("a", noon, `{"n":1}`), noon)}, kept, noon)
	if len(doc.Windows) != 3 || len(doc.Filled) != 1 {
		t.Fatalf("windows %v, filled %v", doc.Windows, doc.Filled)
	}
	later := NewAggregates(9, []Aggregate{{Type: "a", Window: span, Since: 9}, {Type: "a", Property: "n", Since: 1}})
	h := History{Doc: doc, Now: noon, Kept: later}
	if h.Count("a", span) != 0 || h.Sum("a", "n", 0) != int64(2) {
		t.Errorf("before an event: count %d, sum %v", h.Count("a", span), h.Sum("a", "n", 0))
	}
	CountEvent(doc, happened("b", noon, `{}`), later, noon)
	if len(doc.Windows) != 1 {
		t.Errorf("windows %v", doc.Windows)
	}
	CountEvent(doc, happened("a", noon, `{"n":5}`), later, noon)
	if h.Count("a", span) != 1 || h.Sum("a", "n", 0) != int64(7) || len(doc.Filled) != 1 {
		t.Errorf("count %d, sum %v", h.Count("a", span), h.Sum("a", "n", 0))
	}
	CountEvent(doc, happened("b", noon, `{}`), NewAggregates(10, nil), noon)
	if len(doc.Windows) != 0 || len(doc.Filled) != 0 {
		t.Errorf("windows %v, filled %v", doc.Windows, doc.Filled)
	}
}

// What a partition has counted that works by a later revision already is kept where an
// earlier one still holds; of windows kept since different revisions the later stays.
func TestAMergeKeepsTheWindowsOfWhoIsAhead(t *testing.T) {
	const span = time.Hour
	ahead := NewAggregates(9, []Aggregate{{Type: "a", Window: span, Since: 9}})
	for name, behind := range map[string]*Aggregates{
		"not kept yet": NewAggregates(8, nil), "kept since before": NewAggregates(8, []Aggregate{{Type: "a", Window: span, Since: 3}}),
	} {
		for _, swapped := range []bool{false, true} {
			into, other := emptyDocument(), emptyDocument()
			other.Profile.ID = "q"
			CountEvent(into, happened("a", noon, `{}`), behind, noon)
			CountEvent(other, happened("a", noon, `{}`), ahead, noon)
			if swapped {
				into, other = other, into
			}
			Unite(into, other, nil, noon)
			CountEvent(into, happened("a", noon, `{}`), behind, noon) // by an earlier revision: found among what is stored
			CountEvent(into, happened("a", noon, `{}`), ahead, noon)
			if got := (&History{Doc: into, Now: noon, Kept: ahead}).Count("a", span); got != 2 {
				t.Errorf("%s, swapped %v: count = %d, want 2", name, swapped, got)
			}
		}
	}
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
	aggregates := keeping(Aggregate{Type: "a", Window: span})
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

// Of more than a thousand that came at once the last thousand are known one by one,
// and no others are left when they alone are in the window.
func TestAWindowIsExactOnceAThousandAreLeft(t *testing.T) {
	const span, events = time.Hour, 1500
	kept, doc := aggregatesOver(span), emptyDocument()
	for i := range events {
		at := noon.Add(time.Duration(i) * 20 * time.Millisecond) // all of them within a sixtieth
		CountEvent(doc, happened("a", at, `{"n":1}`), kept, at)
	}
	for gone := events - windowExact; gone <= events; gone += 50 {
		h := History{Doc: doc, Now: noon.Add(span + time.Duration(gone-1)*20*time.Millisecond), Kept: kept}
		if got := h.Count("a", span); got != int64(events-gone) {
			t.Errorf("count = %d, want %d", got, events-gone)
		}
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

// The bound of types is one of lifetime numbers: what a condition reads is kept all the same.
func TestWindowsAreKeptBeyondFiveHundredTypes(t *testing.T) {
	doc, kept := emptyDocument(), keeping(Aggregate{Type: "a", Window: time.Hour})
	for i := range typesKept {
		CountEvent(doc, happened(fmt.Sprint("t", i), noon, `{}`), kept, noon)
	}
	CountEvent(doc, happened("a", noon, `{}`), kept, noon)
	if got := (&History{Doc: doc, Now: noon, Kept: kept}).Count("a", time.Hour); got != 1 {
		t.Errorf("count = %d, want 1", got)
	}
}

func TestWindowSumsStayExact(t *testing.T) {
	doc := emptyDocument()
	aggregates := keeping(Aggregate{Type: "a", Property: "total", Window: time.Hour})
	for i, total := range []string{"0.1", "0.2", `"x"`, "22.200000000000003"} {
		CountEvent(doc, happened("a", noon.Add(time.Duration(i)), `{"total":`+total+`}`), aggregates, noon)
	}
	if got := (&History{Doc: doc, Now: noon}).Sum("a", "total", time.Hour); got != 22.500000000000003 && got != json.Number("22.500000000000003") {
		t.Errorf("sum = %v", got)
	}
}

// What a document has is looked through once for each revision of the configuration,
// and again when it was united with another.
func TestADocumentIsClearedOnceARevision(t *testing.T) {
	later := NewAggregates(9, []Aggregate{{Type: "a", Window: time.Hour, Since: 1}})
	stale := func() *record.Window { return &record.Window{Span: 1, Since: 1} }
	doc := emptyDocument()
	doc.Windows = map[string]*record.Window{"x": stale()}
	CountEvent(doc, happened("b", noon, `{}`), later, noon)
	if len(doc.Windows) != 0 {
		t.Fatalf("windows %v", doc.Windows)
	}
	doc.Windows["x"] = stale() // as nothing but a merge does
	CountEvent(doc, happened("b", noon, `{}`), later, noon)
	if len(doc.Windows) != 1 {
		t.Error("a document is looked through by each event")
	}
	delete(doc.Windows, "x")
	other := &record.Document{State: record.StateLive, Profile: sdk.NewProfile("q", noon), Windows: map[string]*record.Window{"y": stale()}}
	Unite(doc, other, Strategies{}, noon)
	CountEvent(doc, happened("b", noon, `{}`), later, noon)
	if len(doc.Windows) != 0 {
		t.Errorf("what came with a merge is left: %v", doc.Windows)
	}
	doc.Windows["x"] = stale()
	CountEvent(doc, happened("b", noon, `{}`), NewAggregates(10, nil), noon)
	if len(doc.Windows) != 0 {
		t.Errorf("what a later revision does not keep is left: %v", doc.Windows)
	}
}
