package indexer

import (
	"fmt"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/fold"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
)

// The store has each of a person's sessions as it is in the end, whichever event told
// of it: also those that ended without one of their own.
func TestEndedSessionsAreStored(t *testing.T) {
	r := newRig(t)
	set, err := config.NewSet(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	event := func(session string, minute int, transient bool) *record.Command {
		at := noon.Add(time.Duration(minute) * time.Minute)
		id := fmt.Sprint(session, minute)
		return &record.Command{
			Kind: record.KindEvent, ID: record.EventID("shop", id), Profile: "p", Received: at,
			Event: &record.Event{ID: id, Type: "page-view", Source: "shop", Session: session, Time: at, TransientSession: transient},
		}
	}
	due := func(minute int) *record.Command {
		at := noon.Add(time.Duration(minute) * time.Minute)
		return &record.Command{Kind: record.KindDue, ID: record.DueID("p", at), Profile: "p", Received: at}
	}
	var f fold.Fold
	var doc *record.Document
	for i, c := range []*record.Command{
		event("phone", 0, false), event("laptop", 1, false), event("secret", 2, true), event("phone", 10, false),
		due(32), due(40), event("laptop", 60, false), event("tablet", 61, false), due(90),
	} {
		f.Begin(fold.Input{Rules: fold.NewRules(set), Command: c, Doc: doc})
		result := f.Apply(f.Route())
		doc = result.Doc
		var messages []bus.EventMessage
		for n, e := range result.Events {
			messages = append(messages, bus.EventMessage{Partition: 0, C: uint64(i + 1), N: n + 1, Type: e.Type, Data: append([]byte(nil), e.Data...)})
		}
		if err := r.bus.PublishEvents(t.Context(), messages); err != nil {
			t.Fatal(err)
		}
	}
	r.run(0)
	eventually(t, "the events", func() bool { return r.count(store.Events) == 20 })
	for id, want := range map[string]struct {
		status string
		events int64
	}{"phone": {sdk.SessionEnded, 2}, "laptop": {sdk.SessionEnded, 2}, "tablet": {sdk.SessionActive, 1}} {
		var s sdk.Session
		d, err := r.store.Get(t.Context(), store.Sessions, "p/"+id)
		if err == nil {
			err = s.UnmarshalJSON(d.Body)
		}
		if err != nil || s.Status != want.status || s.Events != want.events || s.Ended.IsZero() == (s.Status == sdk.SessionEnded) {
			t.Errorf("%s is %s, %v", id, d.Body, err)
		}
	}
	if n := r.count(store.Sessions); n != 3 {
		t.Errorf("%d sessions are stored, want 3: one is not to be", n)
	}
}
