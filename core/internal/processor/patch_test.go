package processor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/fold"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// patches is a command of a run's step that patches a profile, waited for by
// the token.
func (n *node) patches(run string, profile string, p *record.Patch, token string) *record.Command {
	c := &record.Command{
		Kind: record.KindPatch, ID: record.PatchID(run, 0), Profile: profile, Hops: 1, Received: noon.Add(time.Minute),
		Body: record.AppendPatch(nil, p),
	}
	if token != "" {
		c.Reply = n.prefix + token
	}
	return c
}

// person sends an event of a user and returns the profile that it made.
func (n *node) person(user string) string {
	n.t.Helper()
	n.send(n.adds("of "+user, user, 1, "of-"+user))
	return n.outcome("of-" + user).Profile
}

func set(path, value string) wire.Patch {
	return wire.Patch{Op: wire.OpSet, Path: path, Value: jsontext.Value(value)}
}

func increment(path string, by int) wire.Patch {
	return wire.Patch{Op: wire.OpIncrement, Path: path, Value: jsontext.Value(fmt.Sprint(by))}
}

// folded is the commit that a batch of commands about one profile would make.
func (n *node) folded(commands ...*record.Command) *record.Commit {
	n.t.Helper()
	p := newPartition(n.p, n.bus.Partition(commands[0].Profile))
	if err := p.takeOver(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	b := p.newBatch(n.t.Context())
	defer p.abandon(b)
	for _, c := range commands {
		it := &item{Command: *c}
		if c.Event != nil {
			it.claims, it.keys = n.p.claims(fold.EventIdentifiers(c.Event))
		}
		if err := b.fold(it); err != nil {
			n.t.Fatal(err)
		}
	}
	return &b.commit
}

func (n *node) deadLetters() []bus.DeadLetter {
	n.t.Helper()
	letters, err := n.bus.DeadLetters(n.t.Context(), origin, 0, 100)
	if err != nil {
		n.t.Fatal(err)
	}
	return letters
}

func TestAPatchChangesItsProfileOnceAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	n.configure()
	id := n.person("ann")
	p := &record.Patch{By: "flow/thanks", Patches: []wire.Patch{
		set("traits.vip", "true"), increment("traits.vip", 1), increment("counters.sum", 10), {Op: wire.OpEnter, Path: "segments.loyal"},
	}}
	n.send(n.patches("run1", id, p, "first"), n.patches("run1", id, p, "again"))
	if o := n.outcome("first"); o.Status != record.StatusAccepted || !o.Valid || o.Profile != id || o.Revision != 3 || o.C == 0 || o.Partition != n.bus.Partition(id) {
		t.Errorf("outcome %+v", o)
	}
	if o := n.outcome("again"); o.Status != record.StatusDuplicate || o.Profile != id {
		t.Errorf("a repetition: %+v", o)
	}
	n.stop()
	n = start(t, dir)
	n.send(n.patches("run1", id, p, "later"))
	if o := n.outcome("later"); o.Status != record.StatusDuplicate {
		t.Errorf("a repetition after a restart: %+v", o)
	}
	eventually(t, "the event of the segment", func() bool { return n.document(id).Profile.Revision == 3 })
	got := n.document(id).Profile
	if !got.Updated.Equal(noon.Add(time.Minute)) || got.Counters["sum"] != int64(11) || got.Traits["vip"] != true {
		t.Errorf("profile %s", got.AppendJSON(nil))
	}
	if since := string(sdk.AppendValue(nil, got.Segments)); since != `{"loyal":{"since":"2026-03-01T12:01:00.000Z"}}` {
		t.Errorf("segments %s", since)
	}
	if letters := n.deadLetters(); len(letters) != 0 {
		t.Errorf("dead letters %+v", letters)
	}
}

func TestAPatchThatChangesNothingLeavesTheRevision(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	id := n.person("ann")
	n.send(n.patches("run1", id, &record.Patch{Patches: []wire.Patch{increment("data.order.x", 1), {Op: wire.OpLeave, Path: "segments.loyal"}}}, "t"))
	if o := n.outcome("t"); !o.Valid || o.Revision != 1 || n.document(id).Profile.Revision != 1 {
		t.Errorf("outcome %+v", o)
	}
	if got := n.p.metrics.problems.Get(); got != 1 {
		t.Errorf("%d patches left out are counted, want 1", got)
	}
}

// Events of a patch go through the log like any other, in their order, each
// about the profile that was patched, one hop further, once.
func TestEventsOfAPatchAreFoldedIntoItsProfile(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	id := n.person("ann")
	session := n.adds("in a session", "ann", 1, "session")
	session.Event.Session = "s1"
	n.send(session)
	n.outcome("session")
	p := &record.Patch{By: "flow/thanks"}
	for i := range 3 {
		p.Events = append(p.Events, record.Event{
			ID: fmt.Sprint("run1-", i), Type: "add", Source: "flow", Session: []string{"s1", "s0", ""}[i], Properties: fmt.Appendf(nil, `{"n":%d}`, 10+i),
		})
	}
	p.Events = append(p.Events, record.Event{ID: "bad", Source: "flow", Type: "a\nb"}, record.Event{ID: "bad", Source: "flow", Type: "add", Traits: []byte(`{"a\u0000":1}`)})
	n.send(n.patches("run1", id, p, "t"), n.patches("run1", id, p, ""))
	n.outcome("t")
	var doc *record.Document
	eventually(t, "the events of the patch", func() bool {
		doc = n.document(id)
		return doc.Profile.Stats.Events["add"].Count == 5
	})
	if order := string(sdk.AppendValue(nil, doc.Profile.Data["order"])); order != "[1,10,11,12]" {
		t.Errorf("order %s", order)
	}
	if s := doc.Find("s1"); s == nil || s.Events != 2 || doc.Profile.Stats.Visits != 1 {
		t.Errorf("document %s", doc.AppendJSON(nil))
	}
	if held, _, err := n.bus.GetIdentity(t.Context(), n.bus.IdentityKey(record.KindSessionID, "s0")); err == nil {
		t.Errorf("an event of a flow took a session: %+v", held)
	}
	if got := n.p.metrics.problems.Get(); got != 2 {
		t.Errorf("%d events that cannot be sent are counted, want 2", got)
	}
}

func TestAPatchAboutNobodySendsItsEvents(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	p := &record.Patch{Patches: []wire.Patch{set("traits.a", "1")}, Events: []record.Event{{ID: "1", Type: "alarm", Source: "flow"}}}
	c := n.patches("run1", "", p, "t")
	if err := n.bus.Append(t.Context(), []bus.Entry{{Partition: 3, Commands: record.AppendCommand(nil, c)}}); err != nil {
		t.Fatal(err)
	}
	if o := n.outcome("t"); !o.Valid || o.Profile != "" || o.Revision != 0 || o.Partition != 3 {
		t.Errorf("outcome %+v", o)
	}
	eventually(t, "the event", func() bool { last, err := n.bus.EventsLast(t.Context()); return err == nil && last == 1 })
	if e := n.events()[0]; e.Partition != 3 || !strings.Contains(string(e.Data), `"type":"alarm","source":"flow","profile":null`) {
		t.Errorf("partition %d: %s", e.Partition, e.Data)
	}
}

// Where nobody has the profile there is nobody to send events about either.
func TestAPatchOfAProfileThatNobodyHas(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	p := &record.Patch{Patches: []wire.Patch{set("traits.a", "1")}, Events: []record.Event{{ID: "1", Type: "add", Source: "flow"}}}
	n.send(n.patches("run1", "stranger", p, "t"), n.patches("run1", "stranger", p, "again"))
	if o := n.outcome("t"); o.Valid || o.Profile != "" || len(o.Errors) != 1 {
		t.Errorf("outcome %+v", o)
	}
	if o := n.outcome("again"); o.Status != record.StatusDuplicate {
		t.Errorf("a repetition: %+v", o)
	}
	if n.document("stranger") != nil || n.p.metrics.patches.Get() != 0 || n.p.metrics.nobody.Get() != 1 {
		t.Error("a patch of nobody had an effect")
	}
}

func TestCommandsThatCauseOneAnotherEnd(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	id := n.person("ann")
	last := n.patches("run1", id, &record.Patch{Patches: []wire.Patch{increment("counters.sum", 10)}, Events: []record.Event{
		{ID: "1", Type: "add", Source: "flow", Properties: []byte(`{"n":100}`)},
	}}, "last")
	last.Hops = record.MaxHops // its event is one too many
	beyond := n.patches("run2", id, &record.Patch{Patches: []wire.Patch{increment("counters.sum", 1000)}}, "beyond")
	beyond.Hops = record.MaxHops + 1
	n.send(last, beyond)
	if o := n.outcome("last"); !o.Valid {
		t.Errorf("the last hop: %+v", o)
	}
	if o := n.outcome("beyond"); o.Valid || len(o.Errors) != 1 || !strings.Contains(o.Errors[0].Message, "16 commands") {
		t.Errorf("beyond it: %+v", o)
	}
	eventually(t, "two dead letters", func() bool { return len(n.deadLetters()) == 2 })
	for _, d := range n.deadLetters() {
		if !strings.Contains(d.Reason, "16 commands caused one another") {
			t.Errorf("reason %q", d.Reason)
		}
	}
	if got := n.document(id).Profile.Counters["sum"]; got != int64(11) {
		t.Errorf("sum = %v, want 11", got)
	}
}

// A patch that would make its profile too large does nothing, and may be sent
// again: its id is not that of a command which was applied.
func TestAPatchThatMakesItsProfileTooLargeDoesNothing(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	id := n.person("ann")
	large := func(name string, size int) wire.Patch {
		return set("data."+name, `"`+strings.Repeat("x", size)+`"`)
	}
	n.send(n.patches("run1", id, &record.Patch{Patches: []wire.Patch{large("a", fold.MaxDocument/2)}}, "fits"))
	if o := n.outcome("fits"); !o.Valid {
		t.Fatalf("outcome %+v", o)
	}
	p := &record.Patch{By: "flow/thanks", Patches: []wire.Patch{increment("counters.sum", 10), large("b", fold.MaxDocument/2)}, Events: []record.Event{{ID: "1", Type: "add", Source: "flow"}}}
	n.send(n.patches("run2", id, p, "too-large"))
	if o := n.outcome("too-large"); o.Valid || len(o.Errors) != 1 || !strings.Contains(o.Errors[0].Message, "over the limit") {
		t.Errorf("outcome %+v", o)
	}
	if letters := n.deadLetters(); len(letters) != 1 || !strings.HasPrefix(letters[0].Reason, "flow/thanks: the profile would take") {
		t.Errorf("dead letters %d", len(letters))
	}
	n.send(n.patches("run3", id, &record.Patch{Patches: []wire.Patch{{Op: wire.OpDelete, Path: "data.a"}}}, ""), n.patches("run2", id, p, "fits-now"))
	if o := n.outcome("fits-now"); !o.Valid || o.Status != record.StatusAccepted || o.Revision != 4 {
		t.Errorf("outcome %+v", o)
	}
	if got := n.document(id).Profile.Counters["sum"]; got != int64(11) {
		t.Errorf("sum = %v, want 11", got)
	}
}

func TestAMalformedPatchIsSetAside(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	c := n.patches("run1", n.person("ann"), &record.Patch{}, "t")
	c.Body = []byte(`{"patches":1}`)
	n.send(c)
	if o := n.outcome("t"); o.Valid || len(n.deadLetters()) != 1 {
		t.Errorf("outcome %+v", o)
	}
}

// Who waits for the flows of an event is answered on a subject that the event
// carries; nobody waits for those of one that is not valid. What a patch sends
// is one hop further than the patch, and stays so.
func TestACommitSaysHopsAndWhereFlowsAnswer(t *testing.T) {
	n, stopReplies := prepare(t, t.TempDir())
	defer func() {
		stopReplies()
		_ = n.p.Close()
		_ = n.bus.Close(t.Context())
	}()
	waiting, other, large := n.adds("1", "ann", 1, "t1"), n.adds("2", "ann", 1, "t2"), n.adds("3", "ann", 1, "t3")
	waiting.Flows, large.Flows = true, true
	large.Event.Type, large.Event.Traits = "identify", fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", fold.MaxDocument))
	patch := n.patches("run1", waiting.Profile, &record.Patch{Events: []record.Event{{ID: "4", Type: "add", Source: "flow", Properties: []byte(`{"n":1}`)}}}, "")
	patch.Hops = 3
	c := n.folded(waiting, other, large, patch)
	c.Events = c.Events[1:] // that there is somebody new
	if len(c.Events) != 3 || len(c.Commands) != 1 || len(c.Seen) != 4 {
		t.Fatalf("%d events, %d commands, %d ids", len(c.Events), len(c.Commands), len(c.Seen))
	}
	for i, want := range []string{n.prefix + "t1-f", "", ""} {
		if e := c.Events[i]; e.Reply != want || e.Hops != 0 {
			t.Errorf("event %d: reply %q, want %q; %d hops", i, e.Reply, want, e.Hops)
		}
	}
	commands, err := record.ParseCommands(c.Commands[0].Command)
	if err != nil {
		t.Fatal(err)
	}
	next := &commands[0]
	if next.Hops != 4 || !next.Settled || next.Profile != patch.Profile || next.ID != record.EventID("flow", "4") || !next.Received.Equal(patch.Received) || c.Commands[0].Partition != n.bus.Partition(patch.Profile) {
		t.Errorf("command %+v", next)
	}
	if c = n.folded(next); len(c.Events) != 2 || c.Events[1].Hops != 4 || c.Events[1].Reply != "" {
		t.Errorf("events %+v", c.Events)
	}
}

func TestOwnedFollowsWhatIsTakenOver(t *testing.T) {
	n, stopReplies := prepare(t, t.TempDir())
	owned, changed := n.p.Owned()
	if slices.Contains(owned, true) || len(owned) != n.bus.Partitions() {
		t.Errorf("owned before the start: %v", owned)
	}
	n.run(stopReplies)
	for slices.Contains(owned, false) {
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatalf("owned: %v", owned)
		}
		owned, changed = n.p.Owned()
	}
	n.p.disown(2)
	<-changed
	if owned, _ = n.p.Owned(); !slices.Equal(owned, []bool{true, true, false, true}) {
		t.Errorf("owned: %v", owned)
	}
}

// A command that makes the fold panic leaves its id free: it is not taken for one that
// was applied.
func TestAPanicLeavesTheIDFree(t *testing.T) {
	n, stopReplies := prepare(t, t.TempDir())
	defer func() {
		stopReplies()
		_ = n.p.Close()
		_ = n.bus.Close(t.Context())
	}()
	c := n.adds("1", "ann", 1, "")
	p := newPartition(n.p, n.bus.Partition(c.Profile))
	if err := p.takeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.documents.put(c.Profile, &entry{doc: &record.Document{State: record.StateLive}}) // without a profile
	b := p.newBatch(t.Context())
	it := &item{Command: *c}
	it.claims, it.keys = n.p.claims(nil)
	it.Event.IDs, it.Settled = nil, true
	var poison *poisonError
	if err := b.fold(it); !errors.As(err, &poison) {
		t.Fatalf("the fold does not panic: %v", err)
	}
	p.abandon(b)
	if fresh, err := n.p.seen.Reserve(c.ID); err != nil || !fresh {
		t.Errorf("the id is taken: %v, %v", fresh, err)
	}
	n.p.seen.Release([]record.ID{c.ID})
}
