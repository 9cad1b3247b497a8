package indexer

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// What an event changed goes with it, or by itself where the event is not to be
// queried; what has no event is a change by itself.
func TestSplitChanges(t *testing.T) {
	p := sdk.NewProfile("p-3", start)
	p.Revision = 9
	entry := record.Entry(p, start, record.Author{Kind: record.ByFlow, ID: "run", Name: "thanks"}, map[string]any{"traits.a": int64(1)})
	change := append(entry.AppendJSON([]byte(`{"change":`)), '}')
	long := strings.Repeat("x", 3*record.MaxChangeValue)
	event := func(edit func(*record.ProcessedEvent)) []byte {
		return processed(3, func(p *record.ProcessedEvent) {
			p.Session = nil
			edit(p)
		})
	}
	for name, c := range map[string]struct {
		text []byte
		want string // the kinds of what it is, with what they tell of changes
	}{
		"of an event":         {event(func(*record.ProcessedEvent) {}), `events r4 {"changes":{"counters.orders":3}}`},
		"none":                {event(func(p *record.ProcessedEvent) { p.Changes = nil }), "events"},
		"about nobody":        {event(func(p *record.ProcessedEvent) { p.Revision, p.Event.Profile = 0, "" }), "events"},
		"a long value":        {event(func(p *record.ProcessedEvent) { p.Changes = map[string]any{"data.a": long} }), `events r4 {"changes":{"data.a":"` + long[:record.MaxChangeValue] + `"},"cut":["data.a"]}`},
		"of a transient one":  {event(func(p *record.ProcessedEvent) { p.Transient, p.TransientSession = true, true }), "changes"},
		"none of a transient": {event(func(p *record.ProcessedEvent) { p.Transient, p.Changes = true, nil }), ""},
		"without an event":    {change, "changes"},
		"no entry":            {[]byte(`{"change":{"id":"x"}}`), "refused"},
		"no object":           {[]byte(`{"change":1}`), "refused"},
		"both":                {bytes.Replace(event(func(*record.ProcessedEvent) {}), []byte(`{"event"`), append(change[:len(change)-1:len(change)-1], `,"event"`...), 1), "refused"},
	} {
		docs, err := newSplitter().event(c.text, nil)
		var got []string
		for _, d := range docs {
			got = append(got, string(d.Kind))
			if d.Log != nil {
				got = append(got, "r"+string(sdk.AppendValue(nil, d.Log.Revision)), string(d.Log.Changes))
			}
		}
		if err != nil {
			got = []string{"refused"}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %.300s, want %.300s", name, got, c.want)
		}
	}
	docs, err := newSplitter().event(event(func(p *record.ProcessedEvent) { p.Transient = true }), nil)
	want := `{"id":"2026-01-31T12:00:03.000Z-4-e-000003","profile":"p-3","revision":4,"time":"2026-01-31T12:00:03.000Z","received":"2026-01-31T12:00:03.000Z",` +
		`"by":{"kind":"event","id":"e-000003","name":"order-completed","source":"shop"},"changes":{"counters.orders":3}}`
	if err != nil || len(docs) != 1 || docs[0].Kind != store.Changes || string(docs[0].Body) != want {
		t.Errorf("of a transient event: %v\n%s", err, docs[0].Body)
	}
}
