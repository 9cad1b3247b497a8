package indexer

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

var start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func processed(i int, edit func(*record.ProcessedEvent)) []byte {
	p := record.ProcessedEvent{
		Event: sdk.Event{
			ID: fmt.Sprintf("e-%06d", i), Type: "order-completed", Source: "shop", Profile: fmt.Sprintf("p-%d", i%10),
			Session: fmt.Sprintf("s-%d", i%10), Time: start.Add(time.Duration(i) * time.Second), Received: start.Add(time.Duration(i) * time.Second),
			Properties: sdk.NewObject(map[string]any{"total": int64(i), "currency": "EUR", "items": []any{map[string]any{"sku": "A-1", "price": 12.5}}}), Valid: true,
		},
		Revision: uint64(i + 1), Config: 1,
		Changes: map[string]any{"counters.orders": int64(i)},
	}
	p.Session = &sdk.Session{
		ID: p.Event.Session, Profile: p.Event.Profile, Started: start, Updated: p.Event.Time, Status: sdk.SessionActive, Revision: uint64(i + 1),
	}
	if edit != nil {
		edit(&p)
	}
	return p.AppendJSON(nil)
}

func profile(id string, revision uint64) *sdk.Profile {
	p := sdk.NewProfile(id, start)
	p.Revision, p.Updated = revision, start.Add(time.Duration(revision)*time.Second)
	return p
}

func document(id, state string, revision uint64) []byte {
	d := record.Document{State: state, C: revision, Profile: profile(id, revision)}
	return d.AppendJSON(nil)
}

func TestSplitEvent(t *testing.T) {
	var event sdk.Event
	whole := processed(3, func(p *record.ProcessedEvent) { event = p.Event })
	alone := processed(4, func(p *record.ProcessedEvent) {
		p.Session, p.Event.Profile, p.Event.Session, p.Changes = nil, "", "", nil
	})
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"with a session":      {whole, "events shop/e-000003 1, sessions p-3/s-3 4, "},
		"alone":               {alone, "events shop/e-000004 1, "},
		"unknown fields":      {bytes.Replace(alone, []byte(`"config":1`), []byte(`"new":{"event":[{}]},"config":1`), 1), "events shop/e-000004 1, "},
		"no object":           {[]byte(`[]`), ""},
		"empty":               {nil, ""},
		"no event":            {[]byte(`{"config":1}`), ""},
		"event is no object":  {[]byte(`{"event":1}`), ""},
		"event without an id": {bytes.Replace(alone, []byte(`"id"`), []byte(`"xx"`), 1), ""},
		"bad time":            {bytes.Replace(alone, []byte(`"time":"2026`), []byte(`"time":"x026`), 1), ""},
		"slash in the source": {bytes.Replace(alone, []byte(`"shop"`), []byte(`"s/op"`), 1), ""},
		"cut":                 {whole[:len(whole)-1], ""},
		"cut in the event":    {whole[:100], ""},
		"bad UTF-8":           {bytes.Replace(alone, []byte(`EUR`), []byte("\xff\xfe\xfd"), 1), ""},
		"no JSON":             {bytes.Replace(alone, []byte(`"EUR"`), []byte("EUR"), 1), ""},
		"config is no number": {bytes.Replace(alone, []byte(`"config":1`), []byte(`"config":"1"`), 1), ""},
		"session by nobody":   {bytes.Replace(whole, []byte(`"session":{"id":"s-3","profile":"p-3"`), []byte(`"session":{"id":"s-3","profile":null`), 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSplitter()
			before := []store.Document{{ID: "before"}}
			docs, err := s.event(c.text, before)
			if (err != nil) != (c.want == "") || len(docs) == 0 || docs[0].ID != "before" {
				t.Fatalf("%v, %v", docs, err)
			}
			got := ""
			for _, d := range docs[1:] {
				got += fmt.Sprintf("%s %s %d, ", d.Kind, d.ID, d.Version)
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			// What failed leaves nothing behind.
			if docs, err := s.event(alone, nil); err != nil || len(docs) != 1 {
				t.Errorf("the next one: %v, %v", docs, err)
			}
		})
	}
	docs, err := newSplitter().event(whole, nil)
	if err != nil || !bytes.Equal(docs[0].Body, event.AppendJSON(nil)) {
		t.Errorf("the body is %s, %v", docs[0].Body, err)
	}
	if docs[0].Config != 1 || docs[1].Config != 0 {
		t.Errorf("the configurations are %d and %d", docs[0].Config, docs[1].Config)
	}
	aside, err := newSplitter().event(processed(3, func(p *record.ProcessedEvent) { p.Aside = true }), nil)
	if err != nil || aside[0].Config != 0 {
		t.Errorf("an event aside: %v, %v", aside, err)
	}
	want := []string{"e-000003", "shop", "order-completed", "s-3", "p-3", "2026-01-31T12:00:03.000Z", "2026-01-31T12:00:03.000Z"}
	for i, name := range store.Events.Columns() {
		if docs[0].Column(i) != want[i] {
			t.Errorf("column %s is %q, want %q", name, docs[0].Column(i), want[i])
		}
	}
}

func TestSplitDocument(t *testing.T) {
	whole := document("p", record.StateLive, 7)
	for name, c := range map[string]struct {
		text []byte
		live bool
		fail bool
	}{
		"live":              {whole, true, false},
		"redirect":          {document("p", record.StateRedirect, 7), false, false},
		"erased":            {[]byte(`{"state":"erased","c":4,"profile":{"id":"p"}}`), false, false},
		"another order":     {[]byte(`{"profile":` + string(profile("p", 7).AppendJSON(nil)) + `,"state":"live"}`), true, false},
		"unknown state":     {document("p", "asleep", 7), false, true},
		"no state":          {[]byte(`{"profile":{}}`), false, true},
		"no profile":        {[]byte(`{"state":"live"}`), false, true},
		"without revision":  {document("p", record.StateLive, 0), false, true},
		"negative revision": {bytes.Replace(whole, []byte(`"revision":7`), []byte(`"revision":-7`), 1), false, true},
		"state is no text":  {[]byte(`{"state":1}`), false, true},
		"cut":               {whole[:len(whole)-2], false, true},
		"empty":             {nil, false, true},
	} {
		doc, live, err := newSplitter().document(c.text)
		if live != c.live || (err != nil) != c.fail {
			t.Errorf("%s: live %v, %v", name, live, err)
		}
		if live && (doc.ID != "p" || doc.Version != 7 || !bytes.Equal(doc.Body, profile("p", 7).AppendJSON(nil))) {
			t.Errorf("%s: %s %d %s", name, doc.ID, doc.Version, doc.Body)
		}
	}
	if _, _, err := newSplitter().document([]byte(`{"state":"live"}`)); !errors.Is(err, record.ErrMalformed) {
		t.Errorf("%v, want ErrMalformed", err)
	}
}

func TestLatest(t *testing.T) {
	doc := func(kind store.Kind, id string, version uint64) store.Document {
		return store.Document{Kind: kind, ID: id, Version: version}
	}
	got := ""
	for _, d := range latest([]store.Document{
		doc(store.Events, "e1", 1), doc(store.Sessions, "s1", 2), doc(store.Events, "e2", 1), doc(store.Sessions, "s1", 3),
		doc(store.Sessions, "s2", 9), doc(store.Sessions, "s1", 1), doc(store.Events, "e1", 1),
	}) {
		got += fmt.Sprintf("%s%d ", d.ID, d.Version)
	}
	if want := "e11 s13 e21 s29 e11 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzSplitEvent(f *testing.F) {
	f.Add(processed(1, nil))
	f.Add(processed(2, func(p *record.ProcessedEvent) { p.Session = nil }))
	f.Add([]byte(`{"event":{"id":"a","source":"s","time":"2026-01-31T12:00:00.000Z","received":"2026-01-31T12:00:00.000Z"}}`))
	f.Add([]byte(`{"event":{"id":"\u0000\"","id":"b","source":"s"}`))
	f.Add([]byte("{\"event\": { \"id\" :\t1}, \"session\":null}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		docs, err := newSplitter().event(text, nil)
		if err != nil {
			if len(docs) > 0 {
				t.Error("documents beside an error")
			}
			return
		}
		for _, d := range docs {
			again, err := store.NewDocument(d.Kind, d.Body)
			if err != nil || again.ID != d.ID || again.Version != d.Version || d.ID == "" || d.Version == 0 {
				t.Errorf("%s %q %d is read again as %q %d, %v", d.Kind, d.ID, d.Version, again.ID, again.Version, err)
			}
			if !bytes.Contains(text, d.Body) || strings.TrimSpace(string(d.Body)) != string(d.Body) {
				t.Errorf("body %q is no part of the text", d.Body)
			}
		}
	})
}

func FuzzSplitDocument(f *testing.F) {
	f.Add(document("p", record.StateLive, 3))
	f.Add(document("p", record.StateErased, 3))
	f.Add([]byte(`{"state":"live","profile":{"id":"p","revision":1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, live, err := newSplitter().document(text)
		if err == nil && live && (doc.ID == "" || doc.Version == 0) || err != nil && live {
			t.Errorf("live %v, %q %d, %v", live, doc.ID, doc.Version, err)
		}
	})
}

func BenchmarkSplitEvent(b *testing.B) {
	text, s := processed(1, nil), newSplitter()
	var docs []store.Document
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if docs, err = s.event(text, docs[:0]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*2/b.Elapsed().Seconds(), "docs/s")
}

// What is transient does not get into the store, and is a message like any other
// for those who count them.
func TestTransientEvents(t *testing.T) {
	for name, c := range map[string]struct {
		event, session bool
		want           string
	}{
		"all kept":    {false, false, "shop/e p/s"},
		"the event":   {true, false, "p/s"},
		"the session": {false, true, "shop/e"},
		"both":        {true, true, ""},
	} {
		p := record.ProcessedEvent{
			Event: sdk.Event{ID: "e", Type: "x", Source: "shop", Valid: true}, Session: &sdk.Session{ID: "s", Profile: "p", Revision: 1},
			Transient: c.event, TransientSession: c.session,
		}
		docs, err := newSplitter().event(p.AppendJSON(nil), []store.Document{{Kind: store.Profiles}})
		var got []string
		for _, doc := range docs[1:] {
			got = append(got, doc.ID)
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, %v, want %s", name, got, err, c.want)
		}
	}
}
