package sdk

import (
	"encoding/json"
	"testing"
	"time"
)

func TestProfileSurvivesARoundTrip(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 5e6, time.UTC)
	p := NewProfile("p1", at)
	p.Identities["user"] = []string{"17850"}
	p.Revision = 1 << 60
	p.Traits["name"] = "Zoë \x00"
	p.Counters["revenue"] = json.Number("8911407.904000000000001")
	p.Counters["orders"] = int64(3)
	p.Segments["loyal"] = map[string]any{"since": FormatTime(at)}
	p.Stats = Stats{Visits: 2, Views: 1, FirstSeen: at, LastSeen: at, Truncated: true,
		Events: map[string]TypeStats{"order-completed": {Count: 3, First: at, Last: at}}}
	text := p.AppendJSON(nil)
	var back Profile
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if got := string(back.AppendJSON(nil)); got != string(text) {
		t.Errorf("got  %s\nwant %s", got, text)
	}
}

func TestSessionSurvivesARoundTrip(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	s := Session{ID: "s1", Profile: "p1", Started: at, Updated: at.Add(90 * time.Second), Ended: at.Add(time.Hour),
		Status: SessionEnded, Events: 4, Revision: 7, Context: map[string]any{"os": map[string]any{"name": "Linux"}}}
	text := s.AppendJSON(nil)
	var back Session
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if got := string(back.AppendJSON(nil)); got != string(text) {
		t.Errorf("got  %s\nwant %s", got, text)
	}
	if d, _ := s.Field("duration"); d != 90.0 {
		t.Errorf("duration = %v, want 90", d)
	}
}

func TestObjectKeepsItsText(t *testing.T) {
	o := RawObject([]byte(`{"b":1,"a":22.2000000000000031}`))
	if got := string(o.AppendJSON(nil)); got != `{"b":1,"a":22.2000000000000031}` {
		t.Errorf("untouched: %s", got)
	}
	o.Map()["c"] = true
	if got := string(o.AppendJSON(nil)); got != `{"a":22.2000000000000031,"b":1,"c":true}` {
		t.Errorf("changed: %s", got)
	}
	for text, want := range map[string]bool{"": true, "{}": true, "null": true, `{"a":1}`: false} {
		if o := RawObject([]byte(text)); o.IsEmpty() != want {
			t.Errorf("%q is empty: %v", text, !want)
		}
	}
	var bad Object
	if err := json.Unmarshal([]byte(`[1]`), &bad); err == nil {
		t.Error("an array was taken for an object")
	}
}

func TestEventJSON(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	e := Event{ID: "1", Type: "page-view", Source: "shop", Time: at, Received: at, Properties: RawObject([]byte(`{"url":"/"}`)), Valid: true}
	want := `{"id":"1","type":"page-view","source":"shop","profile":null,"time":"2026-03-01T10:00:00.000Z","received":"2026-03-01T10:00:00.000Z","properties":{"url":"/"},"valid":true}`
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e.Valid, e.Errors = false, []FieldError{{Path: "properties.total", Message: "missing"}}
	if !json.Valid(e.AppendJSON(nil)) {
		t.Errorf("an invalid event is no JSON: %s", e.AppendJSON(nil))
	}
}
