package resources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// openBus opens an embedded bus; "" is a fresh directory. The returned function
// closes it, and the end of the test does.
func openBus(t testing.TB, dir string) (*bus.Bus, func()) {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	b, err := bus.Open(t.Context(), bus.Options{Dir: dir, DiskReserve: 1, Durability: bus.DurabilityProcess, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop := func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := b.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return b, stop
}

func open(t testing.TB, b Bus) *Registry {
	t.Helper()
	r, err := Open(t.Context(), b, config.Defaults(true), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs the registry until the end of the test.
func run(t *testing.T, r *Registry) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		work.Wait()
	})
}

// source is a change that creates or changes a source.
func source(id, name string) config.Change {
	return config.Change{Resource: config.Resource{Kind: config.KindSource, ID: id, Spec: []byte(`{ "name": "` + name + `", "keys": ["` + id + `-key"] }`)}}
}

func deletion(id string) config.Change {
	return config.Change{Resource: config.Resource{Kind: config.KindSource, ID: id}, Delete: true}
}

func apply(t testing.TB, r *Registry, changes ...config.Change) Result {
	t.Helper()
	result, err := r.Apply(t.Context(), changes, ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// want fails unless the installation works by this revision everywhere: the
// registry, the bucket, and the end of each partition's log.
func want(t testing.TB, r *Registry, b *bus.Bus, revision uint64, ids ...string) {
	t.Helper()
	set := r.Current()
	if set.Revision() != revision {
		t.Errorf("revision %d, want %d", set.Revision(), revision)
	}
	var have []string
	for _, resource := range set.Resources() {
		have = append(have, resource.ID)
	}
	if !reflect.DeepEqual(have, ids) {
		t.Errorf("resources %v, want %v", have, ids)
	}
	stored, err := b.Resources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, resource := range stored {
		kept = append(kept, resource.ID)
		in, ok := set.Get(resource.Kind, resource.ID)
		if !ok || !bytes.Equal(in.AppendJSON(nil), resource.Data) {
			t.Errorf("the bucket has %s of %s", resource.Data, resource.ID)
		}
	}
	if !reflect.DeepEqual(kept, ids) {
		t.Errorf("the bucket has %v, want %v", kept, ids)
	}
	for p := range b.Partitions() {
		if got := logged(t, b, p); got != revision {
			t.Errorf("partition %d is told of revision %d, want %d", p, got, revision)
		}
	}
}

// logged is the revision that a partition's log was told of last; 0: none.
func logged(t testing.TB, b *bus.Bus, partition int) (revision uint64) {
	t.Helper()
	last, err := b.IngestLastOf(t.Context(), partition)
	if err != nil {
		t.Fatal(err)
	}
	if last == 0 {
		return 0
	}
	reader, err := b.ReadIngest(t.Context(), partition, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for at := uint64(0); at < last; {
		list, err := reader.Next(t.Context(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			at = m.Seq
			commands, err := record.ParseCommands(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range commands {
				if c.Kind == record.KindConfig {
					revision = c.Revision
				}
			}
		}
	}
	return revision
}

func TestFreshInstallation(t *testing.T) {
	b, _ := openBus(t, "")
	r := open(t, b)
	want(t, r, b, 1, "dev")
	if dev, ok := r.Current().SourceByKey("dev"); !ok || !dev.Trusted {
		t.Errorf("the default source is %+v", dev)
	}
}

func TestApplySurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	b, stop := openBus(t, dir)
	r := open(t, b)
	got := apply(t, r, source("a", "A"), source("b", "B"))
	if expected := (Result{2, []config.Difference{{Kind: "source", ID: "a", Action: config.Created}, {Kind: "source", ID: "b", Action: config.Created}}, r.Current()}); !reflect.DeepEqual(got, expected) {
		t.Errorf("got %+v", got)
	}
	got = apply(t, r, source("a", "A"), source("b", "C"), deletion("dev"), deletion("none"))
	if expected := (Result{3, []config.Difference{
		{Kind: "source", ID: "a", Action: config.Unchanged}, {Kind: "source", ID: "b", Action: config.Changed},
		{Kind: "source", ID: "dev", Action: config.Deleted}, {Kind: "source", ID: "none", Action: config.Unchanged},
	}, r.Current()}); !reflect.DeepEqual(got, expected) {
		t.Errorf("got %+v", got)
	}
	want(t, r, b, 3, "a", "b")
	stop()
	b, _ = openBus(t, dir)
	r = open(t, b)
	want(t, r, b, 3, "a", "b")
	a, _ := r.Current().Get("source", "a")
	c, _ := r.Current().Get("source", "b")
	if a.Revision != 2 || c.Revision != 3 || string(c.Spec) != `{"keys":["b-key"],"name":"C"}` {
		t.Errorf("a is at %d, b at %d: %s", a.Revision, c.Revision, c.Spec)
	}
}

func TestApplyOfNothingNewMakesNoRevision(t *testing.T) {
	b, _ := openBus(t, "")
	r := open(t, b)
	for range 2 {
		apply(t, r, source("a", "A"))
	}
	if result := apply(t, r); result.Revision != 2 || len(result.Differences) != 0 {
		t.Errorf("no changes at all: %+v", result)
	}
	want(t, r, b, 2, "a", "dev")
	if n := messages(t, b); n != 2 {
		t.Errorf("%d change sets", n)
	}
}

func messages(t testing.TB, b *bus.Bus) (n int) {
	t.Helper()
	if err := b.Configs(t.Context(), 0, func(bus.StoredConfig) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestApplyRefuses(t *testing.T) {
	b, _ := openBus(t, "")
	r := open(t, b)
	apply(t, r, source("a", "A"))
	revision := func(n uint64) *uint64 { return &n }
	for _, test := range []struct {
		name    string
		options ApplyOptions
		changes []config.Change
		want    string // "" is success
	}{
		{"dry run", ApplyOptions{DryRun: true}, []config.Change{source("c", "C"), deletion("a")}, ""},
		{"dry run of what is wrong", ApplyOptions{DryRun: true}, []config.Change{source("c", "C"), {Resource: config.Resource{Kind: "source", ID: "d", Spec: []byte(`{"nam":1}`)}}}, `source/d: spec.nam: unknown field; did you mean "name"?`},
		{"one of two is wrong", ApplyOptions{}, []config.Change{source("c", "C"), {Resource: config.Resource{Kind: "source", ID: "d", Spec: []byte(`{"nam":1}`)}}}, `source/d: spec.nam: unknown field; did you mean "name"?`},
		{"a key that is taken", ApplyOptions{}, []config.Change{{Resource: config.Resource{Kind: "source", ID: "d", Spec: []byte(`{"keys":["a-key"]}`)}}}, `source/d: spec.keys[0]: is a write key of source a too; a key belongs to one source`},
		{"older", ApplyOptions{IfMatch: revision(1)}, []config.Change{source("a", "B")}, "source/a is at revision 2, not at 1: changed meanwhile"},
		{"gone", ApplyOptions{IfMatch: revision(2)}, []config.Change{deletion("b")}, "source/b does not exist, so it is not at revision 2: changed meanwhile"},
		{"there already", ApplyOptions{IfMatch: revision(0)}, []config.Change{source("a", "B")}, "source/a exists, at revision 2: changed meanwhile"},
	} {
		_, err := r.Apply(t.Context(), test.changes, test.options)
		if got := fmt.Sprint(err); got != test.want && (test.want != "" || err != nil) {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
		if strings.HasSuffix(test.want, "meanwhile") != errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	want(t, r, b, 2, "a", "dev")
	if _, err := r.Apply(t.Context(), []config.Change{source("a", "B")}, ApplyOptions{IfMatch: revision(2)}); err != nil {
		t.Errorf("at the expected revision: %v", err)
	}
	if _, err := r.Apply(t.Context(), []config.Change{source("n", "N")}, ApplyOptions{IfMatch: revision(0)}); err != nil {
		t.Errorf("not there, as expected: %v", err)
	}
	want(t, r, b, 4, "a", "dev", "n")
}

// The log of change sets stays bounded, and what it still holds can be had.
func TestRevisionsOfThePast(t *testing.T) {
	dir := t.TempDir()
	b, stop := openBus(t, dir)
	r := open(t, b)
	const last = 200
	for i := 2; i <= last; i++ {
		apply(t, r, source("a", fmt.Sprint(i)))
	}
	if n := messages(t, b); n != last-128+1 {
		t.Errorf("%d change sets are kept", n)
	}
	for range 2 {
		for _, test := range []struct{ revision, want uint64 }{
			{last, last}, {last - 1, last - 1}, {150, 150}, {128, 128}, {127, 128}, {1, 128}, {0, 128},
		} {
			set, err := r.At(t.Context(), test.revision)
			if err != nil {
				t.Fatal(err)
			}
			a, _ := set.Source("a")
			if set.Revision() != test.want || a.Name != fmt.Sprint(test.want) {
				t.Errorf("revision %d is %d, with %s", test.revision, set.Revision(), a.Name)
			}
		}
		stop()
		b, _ = openBus(t, dir)
		r = open(t, b)
	}
	if len(r.recent) > keptSets {
		t.Errorf("%d sets are kept compiled", len(r.recent))
	}
	want(t, r, b, last, "a", "dev")
}

// node is a bus under another node's name.
type node struct {
	*bus.Bus
	name string
}

func (n node) NodeID() string { return n.name }

func TestTwoNodesApplyAtOnce(t *testing.T) {
	b, _ := openBus(t, "")
	const appliers, each = 4, 12
	nodes := []*Registry{open(t, node{b, "one"}), open(t, node{b, "two"})}
	for _, r := range nodes {
		run(t, r)
	}
	var work sync.WaitGroup
	var mu sync.Mutex
	revisions := map[uint64]int{}
	for i := range appliers {
		r := nodes[i%2]
		work.Go(func() {
			for n := range each {
				// One change of its own, and one that all of them fight for.
				result, err := r.Apply(context.Background(), []config.Change{source(fmt.Sprint("s", i), fmt.Sprint(n)), source("shared", fmt.Sprint(i, n))}, ApplyOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				revisions[result.Revision]++
				mu.Unlock()
				if r.Current().Revision() < result.Revision {
					t.Errorf("answered revision %d while working by %d", result.Revision, r.Current().Revision())
				}
			}
		})
	}
	work.Wait()
	const last = 1 + appliers*each
	if len(revisions) != appliers*each || revisions[last] != 1 {
		t.Errorf("%d revisions for %d applies: %v", len(revisions), appliers*each, revisions)
	}
	for i, r := range nodes {
		set, err := r.At(t.Context(), last)
		if err != nil {
			t.Fatal(err)
		}
		for s := range appliers {
			if source, _ := set.Source(fmt.Sprint("s", s)); source == nil || source.Name != fmt.Sprint(each-1) {
				t.Errorf("node %d has %+v for s%d", i, source, s)
			}
		}
		if err := r.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	one, _ := nodes[0].Current().Get("source", "shared")
	two, _ := nodes[1].Current().Get("source", "shared")
	if !bytes.Equal(one.Spec, two.Spec) {
		t.Errorf("the nodes differ: %s and %s", one.Spec, two.Spec)
	}
	want(t, nodes[0], b, last, "dev", "s0", "s1", "s2", "s3", "shared")
}

func TestTwoNodesStartAtOnce(t *testing.T) {
	b, _ := openBus(t, "")
	var work sync.WaitGroup
	nodes := make([]*Registry, 4)
	for i := range nodes {
		work.Go(func() {
			r, err := Open(context.Background(), node{b, fmt.Sprint(i)}, config.Defaults(i%2 == 0), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Error(err)
				return
			}
			nodes[i] = r
		})
	}
	work.Wait()
	for _, r := range nodes {
		if r.Current().Revision() != 1 || len(r.Current().Resources()) != len(nodes[0].Current().Resources()) {
			t.Errorf("a node of its own mind: revision %d, %v", r.Current().Revision(), r.Current().Resources())
		}
	}
	if n := messages(t, b); n != 1 {
		t.Errorf("%d change sets", n)
	}
}

func TestAtWaits(t *testing.T) {
	b, _ := openBus(t, "")
	one, two := open(t, node{b, "one"}), open(t, node{b, "two"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := two.At(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("a revision that nobody made: %v", err)
	}
	run(t, two)
	got := make(chan uint64, 1)
	go func() {
		set, err := two.At(context.Background(), 2)
		if err != nil {
			t.Error(err)
			got <- 0
			return
		}
		got <- set.Revision()
	}()
	apply(t, one, source("a", "A"))
	if revision := <-got; revision != 2 {
		t.Errorf("revision %d", revision)
	}
}

// faulty is a bus on which commands cannot be published for a while.
type faulty struct {
	*bus.Bus
	mu       sync.Mutex
	failures int
}

var errFault = errors.New("the log is full")

func (f *faulty) PublishCommands(ctx context.Context, commands []record.Routed) error {
	f.mu.Lock()
	f.failures--
	fail := f.failures >= 0
	f.mu.Unlock()
	if fail {
		return errFault
	}
	return f.Bus.PublishCommands(ctx, commands)
}

func (f *faulty) fail(times int) {
	f.mu.Lock()
	f.failures = times
	f.mu.Unlock()
}

func TestEffectsAreCompletedLater(t *testing.T) {
	b, _ := openBus(t, "")
	f := &faulty{Bus: b, failures: 1}
	r := open(t, f) // starts although the log is full
	if logged(t, b, 0) != 0 {
		t.Fatal("the fault did not happen")
	}
	f.fail(1)
	_, err := r.Apply(t.Context(), []config.Change{source("a", "A")}, ApplyOptions{})
	if !errors.Is(err, errFault) || !strings.HasPrefix(err.Error(), "revision 2 of the configuration is stored, but has not arrived everywhere yet") {
		t.Fatalf("got %v", err)
	}
	// Applied again, it makes no difference, but answers when it has arrived.
	if result := apply(t, r, source("a", "A")); result.Revision != 2 || result.Differences[0].Action != config.Unchanged {
		t.Errorf("applied again: %+v", result)
	}
	want(t, r, b, 2, "a", "dev")

	f.fail(2)
	if _, err := r.Apply(t.Context(), []config.Change{source("b", "B")}, ApplyOptions{}); !errors.Is(err, errFault) {
		t.Fatalf("got %v", err)
	}
	run(t, r)
	for p := range b.Partitions() {
		for logged(t, b, p) != 3 {
			if t.Context().Err() != nil {
				t.Fatal("the effects are never completed")
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	want(t, r, b, 3, "a", "b", "dev")
}

func TestLogsHoldNoKeys(t *testing.T) {
	b, _ := openBus(t, "")
	var lines bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	one, err := Open(t.Context(), node{b, "one"}, config.Defaults(true), log)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, one, source("a", "A"))
	two, err := Open(t.Context(), node{b, "two"}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, one, source("b", "B"))
	if _, err := two.At(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	// What a node reads of its own before its apply has answered is no news.
	again, err := Open(t.Context(), node{b, "one"}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, one, source("b", "C"))
	if _, err := again.At(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if text := lines.String(); strings.Contains(text, "-key") || strings.Count(text, "\n") != 4 || strings.Count(text, "another node") != 1 {
		t.Errorf("logged\n%s", text)
	}
}

func BenchmarkApply50(b *testing.B) {
	embedded, _ := openBus(b, "")
	r := open(b, embedded)
	n := 0
	for b.Loop() {
		n++
		changes := make([]config.Change, 50)
		for i := range changes {
			changes[i] = source(fmt.Sprint("s", i), fmt.Sprint(n))
		}
		apply(b, r, changes...)
	}
}

// Every node, and every start, knows since when an aggregate is kept, also where all
// that is left of the log is one message that holds everything.
func TestSinceWhenAggregatesAreKeptSurvives(t *testing.T) {
	dir := t.TempDir()
	b, stop := openBus(t, dir)
	r := open(t, b)
	reading := config.Change{Resource: config.Resource{Kind: config.KindEventType, ID: "check",
		Spec: []byte(`{"copy":[{"to":"traits.lately","from":"count(\"order\", \"7d\")"}]}`)}}
	apply(t, r, reading)
	since := func(r *Registry) uint64 {
		list := r.Current().Kept().List()
		if len(list) != 1 {
			t.Fatalf("kept: %v", list)
		}
		return list[0].Since
	}
	want := r.Current().Revision()
	for i := range 2*wholeEvery + 3 {
		apply(t, r, source("s", fmt.Sprint("name ", i)))
	}
	if got := since(r); got != want {
		t.Errorf("since %d, want %d", got, want)
	}
	if got := since(open(t, b)); got != want {
		t.Errorf("another node: since %d, want %d", got, want)
	}
	stop()
	again, _ := openBus(t, dir)
	if got := since(open(t, again)); got != want {
		t.Errorf("after a start: since %d, want %d", got, want)
	}
}
