package erasure

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/indexer"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/sdk/client"
	"github.com/tributary-bus/tributary/sdk/condition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestErasureLeavesNothingOfAPerson erases somebody of several ids, who has events,
// sessions and a dead letter, and looks into the files.
func TestErasureLeavesNothingOfAPerson(t *testing.T) {
	r := newRig(t, t.TempDir())
	other := r.send(time.Now(), "s-other", "somebody else", "user:other").Profile
	p := r.person()
	letter := bus.DeadLetter{Origin: "test", Reason: "no", Payload: []byte(`{"text":"` + marker + `"}`), Details: map[string]any{"profile": p.IDs[1]}}
	kept := bus.DeadLetter{Origin: "test", Reason: "no", Payload: []byte(`{"text":"` + other + `"}`)}
	if err := errors.Join(r.bus.DeadLetter(t.Context(), letter), r.bus.DeadLetter(t.Context(), kept)); err != nil {
		t.Fatal(err)
	}
	r.indexed()
	// What changes leaves earlier states behind: they are overwritten too.
	for range 20 {
		r.send(time.Now(), "s-phone", marker+strings.Repeat("x", 300), "user:"+marker)
	}
	r.indexed()
	if n := r.stored(p.IDs); n < 25 || r.events() < 30 {
		t.Fatalf("the store has %d documents, EVENTS %d", n, r.events())
	}

	report := r.erase(p)
	if len(report.IDs) < 3 || report.By != "test" || report.Erased.IsZero() || len(report.Kept) == 0 {
		t.Errorf("%+v", report)
	}
	removed := map[string]uint64{}
	for _, part := range report.Parts {
		removed[part.Name] = part.Removed
		if part.At.IsZero() || part.Remaining != 0 || part.Error != "" {
			t.Errorf("%+v", part)
		}
	}
	if removed["events"] < 30 || removed["query store"] < 25 || removed["dead letters"] != 1 || removed["profile"] != 1 {
		t.Errorf("removed: %v", removed)
	}
	clean := func(r *rig) {
		t.Helper()
		if n, m := r.stored(p.IDs), r.events(); n != 0 || m != 0 {
			t.Errorf("%d documents and %d events are left", n, m)
		}
		if n := r.stored([]string{other}); n < 2 {
			t.Errorf("of somebody else %d documents are left", n)
		}
		letters, err := r.bus.DeadLetters(t.Context(), "", 0, 10)
		if err != nil || len(letters) != 1 || !strings.Contains(string(letters[0].Payload), other) {
			t.Errorf("dead letters: %v, %v", letters, err)
		}
		for _, id := range p.IDs {
			doc, _, err := Follow(t.Context(), r.bus, id)
			if err != nil || doc.State != record.StateErased {
				t.Errorf("%s is %v, %v", id, doc, err)
			}
		}
	}
	clean(r)
	if n := r.committed(); n != 0 {
		t.Errorf("%d commits with something of it are kept: a take-over would repeat them", n)
	}
	// Where it can be read no more its bytes may stay for a while: the report says so.
	named := func(file string) bool {
		return strings.Contains(file, "INGEST") || strings.Contains(file, "COMMITS") || strings.Contains(file, "KV_profiles")
	}
	if files := slices.DeleteFunc(r.holding(), named); len(files) > 0 {
		t.Errorf("it is left in %v", files)
	}
	// A take-over repeats what the commits hold that are kept.
	r.stop()
	again := newRig(t, r.dir)
	again.send(time.Now(), "", "somebody else", "user:other")
	eventually(t, "the partitions are taken over", func() bool {
		owned, _ := again.p.Owned()
		return !slices.Contains(owned, false)
	})
	again.indexed()
	clean(again)
}

// TestEventsThatWereNotValidAreErased has events that are about nobody, since they are
// not valid: before the person was known, under each id, and of somebody else.
func TestEventsThatWereNotValidAreErased(t *testing.T) {
	r := newRig(t, t.TempDir())
	now := time.Now().UTC().Truncate(time.Millisecond)
	invalid := func(text string, identifiers ...string) {
		t.Helper()
		if o := r.sendOf("strict", now, "", text, identifiers...); o.Valid || o.Profile != "" {
			t.Fatalf("%+v; want an event that is not valid", o)
		}
	}
	invalid(marker, "anonymous:"+marker+"-laptop")
	p := r.person()
	for _, one := range []string{"user:" + marker, "anonymous:" + marker + "-phone", "email:" + marker + "@mail.example"} {
		invalid(marker, one)
	}
	invalid("somebody else", "user:other")
	r.indexed()
	stored := func() (found, others int) {
		t.Helper()
		err := r.store.Scan(t.Context(), store.Events, nil, func(d store.Document) error {
			if bytes.Contains(d.Body, []byte(marker)) {
				found++
			} else if bytes.Contains(d.Body, []byte("somebody else")) {
				others++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return found, others
	}
	if found, others := stored(); found < 4 || others != 1 {
		t.Fatalf("%d are in the store, and %d of somebody else", found, others)
	}
	r.erase(p)
	if found, _ := stored(); found != 0 {
		t.Errorf("%d are in the store before it is rebuilt", found)
	}
	if err := r.x.Rebuild(t.Context(), func(uint64, uint64) {}); err != nil {
		t.Fatal(err)
	}
	if found, others := stored(); found != 0 || others != 1 || r.events() != 0 {
		t.Errorf("%d are in the store and %d in EVENTS, and %d of somebody else", found, r.events(), others)
	}
}

// TestLateEventsOfAnErasedPerson sends what was received before the erasure, and what
// is of somebody new.
func TestLateEventsOfAnErasedPerson(t *testing.T) {
	r := newRig(t, t.TempDir())
	before := time.Now().UTC().Truncate(time.Millisecond)
	p := r.person()
	r.erase(p)
	for _, identifier := range []string{"user:" + marker, "anonymous:" + marker + "-phone", "email:" + marker + "@mail.example"} {
		if o := r.send(before, "s-phone", marker, identifier); o.Valid || o.C != 0 && o.N != 0 || o.Revision != 0 {
			t.Errorf("a late event of %s gives %+v", identifier, o)
		}
	}
	if n := r.events(); n != 0 {
		t.Errorf("%d late events are in EVENTS", n)
	}
	o := r.send(time.Now().Add(time.Second), "", "anew", "user:"+marker)
	if !o.Valid || o.Profile == "" || slices.Contains(p.IDs, o.Profile) {
		t.Errorf("an event after the erasure gives %+v; the profile was %v", o, p.IDs)
	}
	doc, _, err := Follow(t.Context(), r.bus, o.Profile)
	if err != nil || doc.State != record.StateLive || doc.Profile.Revision != 1 || len(doc.Profile.IDs) != 1 {
		t.Errorf("the new profile is %+v, %v", doc, err)
	}
}

// TestNothingComesBackToTheStore erases while the store refuses what the indexer has
// in hand, and rebuilds it while the bus still has the events.
func TestNothingComesBackToTheStore(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.failing.fails.Store(true)
	p := r.person()
	r.sendOf("strict", time.Now(), "", marker, "user:"+marker) // not valid
	eventually(t, "the indexer tries", func() bool { return r.failing.tried.Load() > 1 })
	// Nobody leads: the events stay in the bus.
	report, err := r.service.Request(t.Context(), p.ID, p.IDs, "test")
	if err != nil || report.State != client.Erasing || report.Parts[1].At.IsZero() || !report.Parts[2].At.IsZero() {
		t.Fatalf("%+v, %v", report, err)
	}
	if r.events() == 0 {
		t.Fatal("the events are gone already")
	}
	r.failing.fails.Store(false)
	r.send(time.Now(), "", "somebody else", "user:other")
	r.indexed()
	if n := r.stored(p.IDs); n != 0 {
		t.Errorf("%d documents came back with what was in hand", n)
	}
	if err := r.x.Rebuild(t.Context(), func(uint64, uint64) {}); err != nil {
		t.Fatal(err)
	}
	if n := r.stored(p.IDs); n != 0 || r.events() == 0 {
		t.Errorf("%d documents came back with a rebuild", n)
	}
	if n, err := r.store.Count(t.Context(), store.Events, notValid(t)); n != 0 || err != nil {
		t.Errorf("%d events that are not valid came back with a rebuild, %v", n, err)
	}
	// Another process finds what is under way, before it indexes.
	r.stop()
	again := newRig(t, r.dir)
	if err := again.x.Rebuild(t.Context(), func(uint64, uint64) {}); err != nil {
		t.Fatal(err)
	}
	if n := again.stored(p.IDs); n != 0 || again.events() == 0 {
		t.Errorf("%d documents came back after a restart", n)
	}
	again.leads.Store(true)
	eventually(t, "it goes on by itself", func() bool {
		report, err := again.service.Report(t.Context(), p.IDs[1])
		return err == nil && report.State == client.Erased
	})
	if n := again.events(); n != 0 {
		t.Errorf("%d events are left", n)
	}
}

func notValid(t *testing.T) store.Filter {
	t.Helper()
	filter, err := condition.CompileCondition("event.valid == false", condition.EventScope)
	if err != nil {
		t.Fatal(err)
	}
	return filter
}

// TestAnErasureFollowsAMerge erases under an id whose profile was merged meanwhile.
func TestAnErasureFollowsAMerge(t *testing.T) {
	r := newRig(t, t.TempDir())
	p := r.person()
	i := slices.IndexFunc(p.IDs, func(id string) bool { return id != p.ID })
	stale := *p
	stale.ID, stale.IDs = p.IDs[i], []string{p.IDs[i]}
	report := r.erase(&stale)
	for _, id := range p.IDs {
		if !slices.Contains(report.IDs, id) {
			t.Errorf("%s is not among %v", id, report.IDs)
		}
	}
	if n := r.stored(p.IDs); n != 0 || r.events() != 0 {
		t.Errorf("%d documents and %d events are left", n, r.events())
	}
	if _, err := r.service.Report(t.Context(), p.ID); err != nil {
		t.Errorf("the report by another id: %v", err)
	}
	if _, err := r.service.Report(t.Context(), "nobody"); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("the report of nobody: %v", err)
	}
}

// TestIDsThatComeLaterAreErasedToo has a tombstone get an id after the erasure was
// done, as of a profile that was being merged into it.
func TestIDsThatComeLaterAreErasedToo(t *testing.T) {
	r := newRig(t, t.TempDir())
	p := r.person()
	late := r.send(time.Now(), "", marker, "email:late@mail.example").Profile
	r.erase(p)
	r.indexed()
	if r.events() != 1 || r.stored([]string{late}) == 0 {
		t.Fatalf("%d events", r.events())
	}
	data, _, err := r.bus.GetDocument(t.Context(), late)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := record.ParseDocument(data)
	if err != nil {
		t.Fatal(err)
	}
	absorb := record.Command{
		Kind: record.KindAbsorb, ID: record.EventID("test", "absorb"), Profile: p.ID, Received: time.Now(),
		Body: record.AppendAbsorb(nil, &record.Absorb{From: late, Document: doc.AppendJSON(nil)}),
	}
	routed := record.Routed{Partition: r.bus.Partition(p.ID), Command: record.AppendCommand(nil, &absorb)}
	if err := r.bus.PublishCommands(t.Context(), []record.Routed{routed}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tombstone has the id", func() bool {
		ids, err := r.service.tombstone(t.Context(), p.ID)
		return err == nil && slices.Contains(ids, late)
	})
	if err := r.service.recheck(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.service.wake()
	eventually(t, "it is erased", func() bool {
		report, err := r.service.Report(t.Context(), late)
		return err == nil && report.State == client.Erased
	})
	if n := r.stored([]string{late}); n != 0 || r.events() != 0 {
		t.Errorf("%d documents and %d events are left", n, r.events())
	}
}

func counts(ctx context.Context, s Store, ids []string) (n uint64, err error) {
	for _, f := range fields {
		filter, err := filterOf(f.field, f.scope, ids)
		if err != nil {
			return 0, err
		}
		found, err := s.Count(ctx, f.kind, filter)
		if err != nil {
			return 0, err
		}
		n += found
	}
	return n, nil
}

func TestProfileOfAProcessedEvent(t *testing.T) {
	for text, want := range map[string]string{
		`{"event":{"id":"a","properties":{"profile":"x"},"profile":"p"},"session":{"profile":"q"}}`: "p",
		`{"change":{"profile":"p","revision":7,"changes":{"traits.profile":"x"}}}`:                  "p",
		`{"session":{"id":"s","profile":"p","context":{"profile":"x"}}}`:                            "p",
		`{"left":{"profile":"p","sessions":["s"]}}`:                                                 "p",
		`{"event":{"id":"a","profile":null}}`:                                                       "", `{"event":{"id":"a"},"profile":"x"}`: "",
		`{"event":{"profile":7}}`: "", `{"event":"p"}`: "", `{`: "", ``: "", `[]`: "",
	} {
		if got := profileOf([]byte(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

var _ Store = store.Store(nil)

// TestAnotherNodeClearsItsOwnStore has a second node, with a query store of its own,
// that does not lead.
func TestAnotherNodeClearsItsOwnStore(t *testing.T) {
	r := newRig(t, t.TempDir())
	p := r.person()
	log := slog.New(slog.DiscardHandler)
	own, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "store.db"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	x, err := indexer.New(t.Context(), indexer.Options{Bus: r.bus, Store: own, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = x.Run(ctx) })
	left := func() uint64 {
		n, err := counts(t.Context(), own, p.IDs)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	r.indexed()
	eventually(t, "the other node has it too", func() bool { return left() >= r.stored(p.IDs) })
	eraser := QueryStore("query store", own, false)
	node := func() *Service {
		s, err := New(t.Context(), Options{Bus: r.bus, Commands: r.commands, Exclude: x.Exclude, Aside: []Eraser{eraser}, Lead: func() bool { return false }, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	r.erase(p)
	if left() == 0 {
		t.Fatal("nothing is left for the other node to do")
	}
	// It was away meanwhile, for long.
	s := node()
	s.known[p.ID].report.Erased = client.Time{Time: time.Now().Add(-2 * recheckFor)}
	if err := s.takeAside(t.Context()); err != nil || left() != 0 {
		t.Errorf("%d documents are left, %v", left(), err)
	}
	if again := node(); again.cleared != s.cleared || again.cleared == 0 {
		t.Errorf("after a restart it is cleared up to %d, before up to %d", again.cleared, s.cleared)
	}
}
