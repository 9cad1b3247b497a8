package condition_test

import (
	"testing"
	"time"

	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

func document(t testing.TB, text string) map[string]any {
	t.Helper()
	m, err := sdk.ParseObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func testProfile(t testing.TB) *sdk.Profile {
	p := sdk.NewProfile("p1", now.Add(-48*time.Hour))
	p.Traits = document(t, `{
		"name": "Ann", "email": "Ann@Example.com", "vip": true, "age": 41, "score": 2.5, "nil": null, "empty": "",
		"big": 9007199254740993, "huge": 12345678901234567890, "precise": 0.12345678901234567891,
		"list": [1, "two", null, 3.0, {"k": 1}], "none": [], "m": {"a": 1, "a-b": 2, "for": 3}, "day": "2026-03-09",
		"at": "2026-03-10T14:30:15.250+02:00", "word": "no time", "ÄÖ": "ÄÖ", "orders": [{"items": [{"q": 1}, {"q": 7}]}, {"items": []}]
	}`)
	p.Counters = map[string]any{"orders": int64(10), "revenue": 10000.5}
	p.Segments = map[string]any{"loyal": map[string]any{"since": "2026-01-01T00:00:00.000Z"}}
	p.Identities["email"] = []string{"ann@example.com"}
	p.Stats = sdk.Stats{Visits: 3, FirstSeen: now.Add(-time.Hour), LastSeen: now, Events: map[string]sdk.TypeStats{
		"order": {Count: 4, First: now.Add(-time.Hour), Last: now},
	}}
	return p
}

func testVars(t testing.TB) *condition.Vars {
	return &condition.Vars{
		Event: &sdk.Event{
			ID: "e1", Type: "order-completed", Source: "shop", Time: now.Add(-time.Minute), Received: now, Valid: true,
			Properties: sdk.RawObject([]byte(`{"total":150.25,"quantity":3,"for":"x","a.b":1,"cats":["a","b"],"flag":false}`)),
			Tags:       []string{"ecommerce"},
		},
		Profile: testProfile(t),
		Session: &sdk.Session{
			ID: "s1", Started: now.Add(-10 * time.Minute), Updated: now, Status: "active", Events: 5,
			Context: map[string]any{"device": map[string]any{"type": "mobile"}},
		},
		Payload: map[string]any{"n": 1, "list": []string{"x"}},
		Row:     map[string]any{"total": "12.5", "bad": "12,5", "blank": " ", "id": "0042", "date": "2010-12-01 08:26:00"},
		Message: "text",
		Meta:    map[string]any{"headers": map[string]string{"h": "v"}, "time": now},
		Now:     now,
		History: profileHistory{testProfile(t)},
	}
}

// profileHistory answers from what a profile keeps; a window holds one event
// for every whole day, and sums are 2.5 an event.
type profileHistory struct{ profile *sdk.Profile }

func (h profileHistory) Count(eventType string, window time.Duration) int64 {
	if window > 0 {
		return int64(window / (24 * time.Hour))
	}
	return h.profile.Stats.Events[eventType].Count
}

func (h profileHistory) Sum(eventType, property string, window time.Duration) any {
	if n := h.Count(eventType, window); n > 0 && property == "total" {
		return 2.5 * float64(n)
	}
	return nil
}

func (h profileHistory) First(eventType string) time.Time {
	return h.profile.Stats.Events[eventType].First
}
func (h profileHistory) Last(eventType string) time.Time {
	return h.profile.Stats.Events[eventType].Last
}

// textVars are testVars with the documents as text.
func textVars(t testing.TB) *condition.Vars {
	v := testVars(t)
	v.Event = sdk.RawView(v.Event.(*sdk.Event).AppendJSON(nil))
	v.Profile = sdk.RawView(v.Profile.(*sdk.Profile).AppendJSON(nil))
	v.Session = sdk.RawView(v.Session.(*sdk.Session).AppendJSON(nil))
	v.Payload = sdk.RawView([]byte(`{"n":1,"list":["x"]}`))
	v.Row = sdk.ViewOf(v.Row)
	return v
}
