package indexer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// What an event changed goes with it, or by itself where the event is not to be
// queried.
func TestSplitChanges(t *testing.T) {
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

// What is told beside events is one thing a message: an entry of a change log, a session
// that came from another profile, or that sessions left theirs.
func TestSplitWhatIsNoEvent(t *testing.T) {
	p := sdk.NewProfile("p-3", start)
	p.Revision = 9
	entry := record.Entry(p, start, record.Author{Kind: record.ByFlow, ID: "run", Name: "thanks"}, map[string]any{"traits.a": int64(1)})
	change := append(entry.AppendJSON([]byte(`{"change":`)), '}')
	moved := record.AppendMoved(nil, &sdk.Session{ID: "a/b", Profile: "p-3", Started: start, Updated: start, Revision: 5})
	left := record.Left{Profile: "p-4", Sessions: []string{"s", "a/b"}}
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"a change":            {change, "changes p-3/2026-01-31T12:00:00.000Z-9-run 9, "},
		"a session that came": {moved, "sessions p-3/a/b 5, "},
		"sessions that left":  {left.AppendJSON(nil), "without sessions p-4/s, without sessions p-4/a/b, "},
		"no entry":            {[]byte(`{"change":{"id":"x"}}`), ""},
		"no object":           {[]byte(`{"change":1}`), ""},
		"no session":          {[]byte(`{"session":{"id":"s"}}`), ""},
		"nobody left":         {[]byte(`{"left":{"sessions":["s"]}}`), ""},
		"no list":             {[]byte(`{"left":{"profile":"p","sessions":"s"}}`), ""},
		"an event":            {processed(3, nil), ""},
		"two things":          {append(append(change[:len(change)-1:len(change)-1], ','), moved[1:]...), ""},
		"nothing":             {[]byte(`{}`), ""},
		"cut":                 {moved[:len(moved)-1], ""},
	} {
		batch, err := newSplitter().change(c.text)
		got := ""
		for _, d := range batch.Put {
			got += fmt.Sprintf("%s %s %d, ", d.Kind, d.ID, d.Version)
		}
		for _, d := range batch.Delete {
			got += fmt.Sprintf("without %s %s, ", d.Kind, d.ID)
		}
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %s, %v, want %s", name, got, err, c.want)
		}
	}
	if _, err := newSplitter().event(change, nil); err == nil {
		t.Error("a change is split as an event")
	}
}
