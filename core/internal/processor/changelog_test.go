package processor

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/indexer"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// index runs an indexer into a store at a path until it is stopped.
func (n *node) index(path string) (s *sqlite.Store, x *indexer.Indexer, stop func()) {
	n.t.Helper()
	s, err := sqlite.Open(n.t.Context(), sqlite.Options{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if x, err = indexer.New(ctx, indexer.Options{Bus: n.bus, Store: s, Log: slog.New(slog.DiscardHandler)}); err != nil {
		cancel()
		n.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	return s, x, func() {
		cancel()
		if err := <-ended; err != nil {
			n.t.Error(err)
		}
		if err := s.Close(); err != nil {
			n.t.Error(err)
		}
	}
}

// changeLog is the change log of a profile, under all its ids, the first change first.
func changeLog(t *testing.T, s store.Reader, ids []string) string {
	t.Helper()
	page, err := s.ProfileChanges(t.Context(), store.ChangesQuery{Profiles: ids})
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]string, len(page.Documents))
	for i, d := range page.Documents {
		v := sdk.RawView(d.Body)
		profile, _ := v.String("profile")
		revision, _ := v.Int("revision")
		at, _ := v.String("time")
		lines[len(lines)-1-i] = fmt.Sprintf("%d %s %s %s %s", indexOf(ids, profile), at[11:19], v.At("by").Raw(), fmt.Sprint("r", revision), v.At("changes").Raw())
	}
	return short(strings.Join(lines, "\n"))
}

// short makes a long value readable.
func short(text string) string {
	return strings.ReplaceAll(text, strings.Repeat("x", record.MaxChangeValue), "xxx…")
}

func indexOf(ids []string, id string) int {
	for i := range ids {
		if ids[i] == id {
			return i
		}
	}
	return -1
}

// Who changed what is told once, of events, of a flow's run, of a plugin and of a
// merge, under the ids of both profiles, also by a store that was filled again, and
// after the repetition of all that was sent.
func TestTheChangeLogTellsWhoChangedWhat(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	first := n.by("e1", 1, at(0), "anonymous:a")
	second := n.by("e2", 2, at(10), "user:ann")
	n.send(first, second)
	n.settled()
	id := n.bus.DerivedProfile("user", "ann", 0)
	younger, older := id, first.Profile
	run := n.patches("run1", younger, &record.Patch{By: "flow/thanks", ID: "run1", Patches: []wire.Patch{set("traits.vip", "true"), set(`data["a.b"]`, `"`+strings.Repeat("x", 3000)+`"`)}}, "")
	run.Received = at(20)
	again := n.patches("run2", younger, &record.Patch{By: "flow/thanks", ID: "run2", Patches: []wire.Patch{set("traits.vip", "true")}}, "")
	again.Received = at(25)
	plugin := n.patches("request", younger, &record.Patch{By: "plugin/scoring", ID: "r-7", Patches: []wire.Patch{{Op: wire.OpDelete, Path: "traits.vip"}}}, "")
	plugin.Received = at(30)
	n.send(run, again, plugin, run)
	n.settled()
	merging := n.by("e3", 4, at(40), "user:ann", "anonymous:a")
	n.send(merging)
	n.settled()

	path := filepath.Join(t.TempDir(), "store.db")
	s, x, stop := n.index(path)
	caughtUp := func() {
		t.Helper()
		end, err := n.bus.EventsLast(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "all to be indexed", func() bool { reached, _ := x.Reached(); return reached >= end })
	}
	caughtUp()
	survivor := n.survivor(younger).Profile
	if len(survivor.IDs) != 2 || survivor.ID != older {
		t.Fatalf("the survivor has the ids %v, want %s first", survivor.IDs, older)
	}
	ids := []string{older, younger}
	want := `0 12:00:00 {"kind":"event","id":"e1","name":"add","source":"test"} r1 {"counters.sum":1,"data.order":[1],"identities.anonymous":["a"],"traits.last":1}
1 12:00:10 {"kind":"event","id":"e2","name":"add","source":"test"} r1 {"counters.sum":2,"data.order":[2],"identities.user":["ann"],"traits.last":2}
1 12:00:20 {"kind":"flow","id":"run1","name":"thanks"} r2 {"data[\"a.b\"]":"` + strings.Repeat("x", record.MaxChangeValue) + `","traits.vip":true}
1 12:00:30 {"kind":"plugin","id":"r-7","name":"scoring"} r3 {"traits.vip":null}
1 12:00:40 {"kind":"event","id":"e3","name":"add","source":"test"} r4 {"counters.sum":6,"data.order":[2,4],"traits.last":4}`
	// The older one agrees to the user of the younger one first, and then absorbs it.
	want += `
0 12:00:40 {"kind":"merge","id":"` + younger + `"} r2 {"identities.user":["ann"]}
0 12:00:40 {"kind":"merge","id":"` + younger + `"} r3 {"counters.sum":7,"data.order":[1,2,4],"data[\"a.b\"]":"` + strings.Repeat("x", record.MaxChangeValue) + `","traits.last":4}`
	want = short(want)
	got := changeLog(t, s, ids)
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}

	n.send(first, second, run, again, plugin, merging)
	n.settled()
	caughtUp()
	if again := changeLog(t, s, ids); again != got {
		t.Errorf("after a repetition:\n%s", again)
	}
	if err := x.Rebuild(t.Context(), func(uint64, uint64) {}); err != nil {
		t.Fatal(err)
	}
	if again := changeLog(t, s, ids); again != got {
		t.Errorf("after a rebuild:\n%s", again)
	}
	stop()
	s, x, stop = n.index(path)
	defer stop()
	caughtUp()
	if again := changeLog(t, s, ids); again != got {
		t.Errorf("after a restart:\n%s", again)
	}
	page, err := s.ProfileChanges(t.Context(), store.ChangesQuery{Profiles: ids, Path: sdk.Path{"data", "a.b"}})
	if err != nil || len(page.Documents) != 2 || !strings.Contains(string(page.Documents[0].Body), `"cut":["data[\"a.b\"]"]`) {
		t.Errorf("of the long value: %d, %v", len(page.Documents), err)
	}
}
