package indexer

import (
	"fmt"
	"slices"
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

// When two profiles become one, the store has each of their sessions once: the
// survivor's. That holds whether the store had them before, or gets all of it at once,
// and for one that is filled anew.
func TestSessionsOfAMergeAreStoredOnce(t *testing.T) {
	set, err := config.NewSet(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, early := range map[string]bool{"one after another": true, "at once": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			docs, commits := map[string]*record.Document{}, map[string]uint64{}
			// fold folds a command into its profile and sends what it tells; it returns the
			// commands that it causes.
			do := func(c record.Command) (caused []record.Command) {
				var f fold.Fold
				f.Begin(fold.Input{Rules: fold.NewRules(set), Command: &c, Doc: docs[c.Profile]})
				result := f.Apply(f.Route())
				docs[c.Profile] = result.Doc
				commits[c.Profile]++
				var messages []bus.EventMessage
				for n, e := range append(result.Events, result.Changes...) {
					messages = append(messages, bus.EventMessage{
						Partition: map[string]int{"old": 0, "young": 1}[c.Profile], C: commits[c.Profile], N: n + 1, Type: e.Type, Data: e.Data,
					})
				}
				if err := r.bus.PublishEvents(t.Context(), messages); err != nil {
					t.Fatal(err)
				}
				return append(caused, result.Commands...)
			}
			event := func(profile, session string, minute int, transient bool) {
				at, id := noon.Add(time.Duration(minute)*time.Minute), fmt.Sprint(profile, session, minute)
				do(record.Command{
					Kind: record.KindEvent, ID: record.EventID("shop", id), Profile: profile, Received: at,
					Event: &record.Event{ID: id, Type: "page-view", Source: "shop", Session: session, Time: at, TransientSession: transient},
				})
			}
			stored := func() (list []string) {
				err := r.store.Scan(t.Context(), store.Sessions, nil, func(d store.Document) error {
					var s sdk.Session
					if err := s.UnmarshalJSON(d.Body); err != nil {
						return err
					}
					list = append(list, fmt.Sprint(d.ID, " ", s.Profile, " ", s.Status, " ", s.Events))
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				slices.Sort(list)
				return list
			}
			want := func(when string, sessions ...string) {
				t.Helper()
				var got []string
				deadline := time.Now().Add(20 * time.Second)
				for got = stored(); !slices.Equal(got, sessions) && time.Now().Before(deadline); got = stored() {
					time.Sleep(5 * time.Millisecond)
				}
				if !slices.Equal(got, sessions) {
					t.Fatalf("%s: %q, want %q", when, got, sessions)
				}
			}
			event("old", "both", 0, false)
			event("old", "mine", 1, false)
			event("young", "both", 2, false)
			event("young", "theirs", 3, false)
			event("young", "secret", 4, true)
			event("young", "past", 4, false)
			do(record.Command{Kind: record.KindDue, ID: record.DueID("young", noon), Profile: "young", Received: noon.Add(33 * time.Minute)})
			if early {
				r.run(0)
				want("before", "old/both old active 1", "old/mine old active 1", "young/both young ended 1", "young/past young active 1", "young/theirs young ended 1")
			}
			peer := record.Rank{Created: docs["old"].Profile.Created, ID: "old"}
			for _, c := range do(record.Command{Kind: record.KindMerge, ID: record.ID{1}, Profile: "young", Received: noon.Add(33 * time.Minute), Body: record.AppendMerge(nil, &record.Merge{Peer: peer})}) {
				c.ID = record.ID{2}
				do(c)
			}
			if !early {
				r.run(0)
			}
			merged := []string{"old/both old ended 2", "old/mine old active 1", "old/past old active 1", "old/theirs old ended 1"}
			want("after", merged...)
			if err := r.x.Rebuild(t.Context(), func(uint64, uint64) {}); err != nil {
				t.Fatal(err)
			}
			want("filled anew", merged...)
			do(record.Command{Kind: record.KindDue, ID: record.DueID("old", noon), Profile: "old", Received: noon.Add(time.Hour)})
			want("in the end", "old/both old ended 2", "old/mine old ended 1", "old/past old ended 1", "old/theirs old ended 1")
		})
	}
}
