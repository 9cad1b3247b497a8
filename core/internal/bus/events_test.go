package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tributary-bus/tributary/core/internal/record"
)

func event(partition int, c uint64, n int, kind string) EventMessage {
	return EventMessage{Partition: partition, C: c, N: n, Type: kind, Data: fmt.Appendf(nil, `{"p":%d,"c":%d,"n":%d}`, partition, c, n)}
}

// nextEvents reads until n events have come.
func nextEvents(t testing.TB, r *EventReader, n int) (list []StoredEvent) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(list) < n {
		got, err := r.Next(ctx, n-len(list), 0)
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(list), n, err)
		}
		list = append(list, got...)
	}
	return list
}

// republish stores an event as another owner would that does not look first.
func republish(t testing.TB, b *Bus, e EventMessage) {
	t.Helper()
	header := []field{{headerPartition, fmt.Sprint(e.Partition)}, {headerCommit, fmt.Sprint(e.C)}, {headerNumber, fmt.Sprint(e.N)}, {headerType, encodeToken(e.Type)}}
	must(b.store(t.Context(), b.effects, streamEvents, subjectEvent(e.Partition, encodeToken(e.Type)), header, e.Data))
}

func TestEventsAreReadOnceAndInOrder(t *testing.T) {
	b := open(t, Options{Partitions: 3})
	sent := []EventMessage{
		event(1, 1, 0, "a"), event(1, 1, 1, "b.c"), event(2, 4, 0, "a"), event(1, 2, 0, "_"), event(0, 1, 0, "="), event(1, 2, 1, "Ünï cödé"),
	}
	if err := b.PublishEvents(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	for _, again := range []EventMessage{sent[1], sent[0], sent[3], sent[2]} {
		republish(t, b, again)
	}
	if err := b.PublishEvents(t.Context(), []EventMessage{event(1, 2, 2, "a")}); err != nil {
		t.Fatal(err)
	}
	r := must(b.ReadEvents(t.Context(), 0, nil))
	defer r.Close()
	got := nextEvents(t, r, 7)
	for i, want := range append(sent, event(1, 2, 2, "a")) {
		g := got[i]
		if g.Partition != want.Partition || g.C != want.C || g.N != want.N || g.Type != want.Type || string(g.Data) != string(want.Data) {
			t.Errorf("event %d is %+v, want %+v", i, g, want)
		}
		if g.Seq == 0 || time.Since(g.Time) > time.Minute {
			t.Errorf("event %d has sequence %d and time %v", i, g.Seq, g.Time)
		}
	}
	if got[6].Seq != 11 {
		t.Errorf("the last event is at %d: the repetitions were not stored, so nothing was tested", got[6].Seq)
	}
	if want := (Marks{{1, 0}, {2, 2}, {4, 0}}); fmt.Sprint(r.Marks()) != fmt.Sprint(want) {
		t.Errorf("marks %v, want %v", r.Marks(), want)
	}
	if list, err := r.Next(t.Context(), 10, 20*time.Millisecond); len(list) != 0 || err != nil {
		t.Errorf("at the end: %v, %v", list, err)
	}
}

// A change without an event is none that a reader of events meets: it is behind it
// then, by its sequence and its mark.
func TestChangesArePassedOverByReadersOfEvents(t *testing.T) {
	b := open(t, Options{Partitions: 2})
	sent := []EventMessage{event(0, 1, 1, "a"), event(0, 1, 2, record.TypeChange), event(1, 1, 1, record.TypeChange), event(0, 2, 1, "a"), event(1, 2, 1, record.TypeChange)}
	if err := b.PublishEvents(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		open func(context.Context, uint64, Marks) (*EventReader, error)
		want string
	}{
		"events": {b.ReadEvents, "0/1/1 a, 0/2/1 a, "}, "events, aside": {b.ReadEventsAside, "0/1/1 a, 0/2/1 a, "},
		"all": {b.ReadEventsAndChanges, "0/1/1 a, 0/1/2 , 1/1/1 , 0/2/1 a, 1/2/1 , "},
	} {
		r := must(c.open(t.Context(), 0, nil))
		got := ""
		for r.Position() < uint64(len(sent)) {
			for _, e := range must(r.Next(t.Context(), 10, 20*time.Second)) {
				got += fmt.Sprintf("%d/%d/%d %s, ", e.Partition, e.C, e.N, e.Type)
			}
		}
		if got != c.want || fmt.Sprint(r.Marks()) != fmt.Sprint(Marks{{2, 1}, {2, 1}}) {
			t.Errorf("%s: %s, marks %v, want %s", name, got, r.Marks(), c.want)
		}
		r.Close()
	}
	if c, n, err := b.LastEvent(t.Context(), 1); c != 2 || n != 1 || err != nil {
		t.Errorf("the last of a partition is %d/%d, %v", c, n, err)
	}
}

func TestEventReaderGoesOnWhereItWas(t *testing.T) {
	b := open(t, Options{Partitions: 2})
	for c := range uint64(10) {
		if err := b.PublishEvents(t.Context(), []EventMessage{event(0, c+1, 0, "a"), event(0, c+1, 1, "b"), event(1, c+1, 0, "a")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []uint64{0, 1, 2, 3, 17, 29} {
		marks := must(b.MarksAt(t.Context(), at))
		first := must(b.ReadEvents(t.Context(), 0, nil))
		if at > 0 {
			nextEvents(t, first, int(at))
		}
		if fmt.Sprint(marks) != fmt.Sprint(first.Marks()) {
			t.Errorf("marks at %d are %v, a reader there has %v", at, marks, first.Marks())
		}
		first.Close()
	}
	republish(t, b, event(0, 5, 0, "a"))
	r := must(b.ReadEvents(t.Context(), 29, must(b.MarksAt(t.Context(), 29))))
	defer r.Close()
	republish(t, b, event(0, 11, 0, "new"))
	got := nextEvents(t, r, 2)
	if got[0].Seq != 30 || got[1].Type != "new" {
		t.Errorf("read %+v", got)
	}
}

func TestMarksOfMoreSubjectsThanOneAnswerHolds(t *testing.T) {
	b := open(t, Options{Partitions: 1, Durability: DurabilityProcess})
	const types = 1100
	var names []string
	var list []EventMessage
	for i := range types {
		names = append(names, fmt.Sprintf("t%d", i))
		list = append(list, event(0, 1, i, names[i]))
	}
	b.NameTypes(names)
	if err := b.PublishEvents(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	if n := len(must(b.eventSubjects(t.Context(), "event.>"))); n != types {
		t.Fatalf("%d subjects, want %d", n, types)
	}
	for _, at := range []uint64{types, types - 30, 40} {
		if got := must(b.MarksAt(t.Context(), at)); got[0] != (Mark{1, int(at) - 1}) {
			t.Errorf("marks at %d: %v", at, got)
		}
	}
}

func TestTypesBeyondAThousandShareASubject(t *testing.T) {
	b := open(t, Options{Partitions: 1, Durability: DurabilityProcess})
	var list []EventMessage
	for i := range maxTypes + 50 {
		list = append(list, event(0, 1, i, fmt.Sprintf("type %d", i)))
	}
	if err := b.PublishEvents(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	count := func() int { return len(must(b.eventSubjects(t.Context(), "event.>"))) }
	if n := count(); n != maxTypes+1 {
		t.Fatalf("%d subjects, want %d", n, maxTypes+1)
	}
	r := must(b.ReadEvents(t.Context(), 0, nil))
	defer r.Close()
	if last := nextEvents(t, r, len(list))[len(list)-1]; last.Type != "type 1049" {
		t.Errorf("the last event has type %q", last.Type)
	}
	// Also after a restart; but one that a resource names gets its own.
	closeBus(t, b)
	b = open(t, Options{Dir: b.options.Dir, Durability: DurabilityProcess})
	b.NameTypes([]string{"named"})
	if err := b.PublishEvents(t.Context(), []EventMessage{event(0, 2, 0, "another"), event(0, 2, 1, "type 3"), event(0, 2, 2, "named")}); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != maxTypes+2 {
		t.Errorf("%d subjects, want %d", n, maxTypes+2)
	}
	if c, n, err := b.LastEvent(t.Context(), 0); c != 2 || n != 2 || err != nil {
		t.Errorf("last event %d %d, %v", c, n, err)
	}
}

func TestEventReaderTellsOfAGap(t *testing.T) {
	b := open(t, Options{Partitions: 1})
	for c := range uint64(10) {
		if err := b.PublishEvents(t.Context(), []EventMessage{event(0, c+1, 0, "a")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.streams[streamEvents].SecureDeleteMsg(t.Context(), 8); err != nil { // erased: no gap
		t.Fatal(err)
	}
	if err := b.purge(t.Context(), streamEvents, "", 5); err != nil {
		t.Fatal(err)
	}
	r := must(b.ReadEvents(t.Context(), 2, nil))
	defer r.Close()
	_, err := r.Next(t.Context(), 100, 0)
	var gap *GapError
	if !errors.Is(err, ErrGap) || !errors.As(err, &gap) || gap.After != 2 || gap.First != 5 {
		t.Fatalf("got %v", err)
	}
	got := nextEvents(t, r, 5)
	if got[0].Seq != 5 || got[4].Seq != 10 {
		t.Errorf("behind the gap: %+v", got)
	}
	for after, left := range map[uint64]int{0: 5, 4: 5, 6: 3, 7: 2} {
		r := must(b.ReadEvents(t.Context(), after, nil))
		nextEvents(t, r, left) // fails on a gap
		r.Close()
	}
	// A reader that is overtaken while it reads.
	slow := must(b.ReadEvents(t.Context(), 5, nil))
	defer slow.Close()
	nextEvents(t, slow, 1)
	slow.from.feed.drop()
	slow.queue = nil
	if err := b.purge(t.Context(), streamEvents, "", 10); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Next(t.Context(), 100, 0); !errors.As(err, &gap) || gap.After != 6 || gap.First != 10 {
		t.Errorf("overtaken: %v", err)
	}
}

func TestReadEventsAside(t *testing.T) {
	b := open(t, Options{Partitions: 1})
	if err := b.PublishEvents(t.Context(), []EventMessage{event(0, 1, 0, "old")}); err != nil {
		t.Fatal(err)
	}
	state := must(b.EventsState(t.Context()))
	if state.First != 1 || state.Last != 1 || state.Epoch == "" {
		t.Errorf("%+v", state)
	}
	r := must(b.ReadEventsAside(t.Context(), state.Last, must(b.MarksAt(t.Context(), state.Last))))
	defer r.Close()
	republish(t, b, event(0, 1, 0, "old"))
	if err := b.PublishEvents(t.Context(), []EventMessage{event(0, 1, 1, "new")}); err != nil {
		t.Fatal(err)
	}
	if got := nextEvents(t, r, 1); got[0].Type != "new" {
		t.Errorf("read %+v", got)
	}
}

func TestPublishEventsOutlastsTheServer(t *testing.T) {
	b := open(t, Options{Partitions: 4, Durability: DurabilityProcess})
	const rounds, each = 60, 50
	var group sync.WaitGroup
	for p := range 4 {
		group.Go(func() {
			for c := range uint64(rounds) {
				var list []EventMessage
				for n := range each {
					list = append(list, event(p, c+1, n, fmt.Sprint("t", n%7)))
				}
				if err := b.PublishEvents(t.Context(), list); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	r := must(b.ReadEvents(t.Context(), 0, nil))
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	next := make([]int, 4)
	for total, restarts := 0, 0; total < 4*rounds*each; {
		list, err := r.Next(ctx, 1000, 0)
		if err != nil {
			t.Fatalf("after %d events: %v", total, err)
		}
		for _, e := range list {
			if want := next[e.Partition]; int(e.C-1)*each+e.N != want {
				t.Fatalf("partition %d: event (%d, %d) where number %d was to come", e.Partition, e.C, e.N, want)
			}
			next[e.Partition]++
		}
		total += len(list)
		if restarts < 3 && total > (restarts+1)*4*rounds*each/5 {
			restarts++
			if err := b.server.restart(); err != nil {
				t.Fatal(err)
			}
		}
	}
	group.Wait()
}

func TestEventsWithBadHeadersArePassedOver(t *testing.T) {
	b := open(t, Options{Partitions: 1})
	if _, err := b.js.PublishMsg(t.Context(), &nats.Msg{Subject: "event.0.x", Data: []byte("?")}, jetstream.WithExpectStream(streamEvents)); err != nil {
		t.Fatal(err)
	}
	if err := b.PublishEvents(t.Context(), []EventMessage{event(0, 1, 0, "a")}); err != nil {
		t.Fatal(err)
	}
	r := must(b.ReadEvents(t.Context(), 0, nil))
	defer r.Close()
	if got := nextEvents(t, r, 1); got[0].Seq != 2 {
		t.Errorf("read %+v", got)
	}
}

// What an event says of its cause travels with it, in memory and by the server.
func TestEventsCarryHopsAndReply(t *testing.T) {
	b := open(t, Options{Partitions: 1})
	along := must(b.ReadEvents(t.Context(), 0, nil))
	defer along.Close()
	plainOne, caused, both := event(0, 1, 1, "a"), event(0, 1, 2, "a"), event(0, 1, 3, "a")
	caused.Hops, both.Hops, both.Reply = 1, 255, "_INBOX.x.7"
	sent := []EventMessage{plainOne, caused, both}
	for n := range 200 { // enough for the reader to turn to what is in memory
		e := event(0, 2, n, "a")
		e.Hops, e.Reply = uint8(n), fmt.Sprint("r", n)
		sent = append(sent, e)
	}
	if err := b.PublishEvents(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	late := must(b.ReadEvents(t.Context(), 0, nil))
	defer late.Close()
	late.from.tail = newTail[StoredEvent](0, nil) // which it then has to read from the server
	late.from.tail.readers.Add(1)
	for name, r := range map[string]*EventReader{"in memory": along, "from the server": late} {
		for i, got := range nextEvents(t, r, len(sent)) {
			if got.Hops != sent[i].Hops || got.Reply != sent[i].Reply {
				t.Errorf("%s, event %d has %d hops and reply %q, want %d and %q", name, i, got.Hops, got.Reply, sent[i].Hops, sent[i].Reply)
			}
		}
	}
	if !along.from.along || late.from.along {
		t.Error("one of the two ways of reading was not tested")
	}
	m := must(b.at(t.Context(), streamEvents, 1))
	if m.header[headerHops] != nil || m.header[headerReply] != nil {
		t.Errorf("an event without cause and caller has the headers %v", m.header)
	}
}
