package processor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// A turnedClock shows noon until it is turned on.
type turnedClock struct{ ahead atomic.Int64 }

func (c *turnedClock) now() time.Time  { return noon.Add(time.Duration(c.ahead.Load())) }
func (c *turnedClock) at(minute int)   { c.ahead.Store(int64(time.Duration(minute) * time.Minute)) }
func (n *node) byClock(c *turnedClock) { n.p = clocked(n.t, n.bus, n.dir, c) }
func visitsEnded(d *record.Document) int64 {
	return d.Profile.Stats.Events[record.TypeVisitEnded].Count
}

// clocked returns a processor that goes by a clock.
func clocked(t testing.TB, b *bus.Bus, dir string, c *turnedClock) *Processor {
	t.Helper()
	set, err := config.NewSet(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(t.Context(), Options{
		Bus: b, Resources: fixed{set}, Dir: dir, Sole: true, EventsMaxAge: 30 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler), Now: c.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// startClocked runs a processor that goes by a clock.
func startClocked(t testing.TB, dir string, c *turnedClock) *node {
	t.Helper()
	n, stopReplies := attach(t, openBus(t, dir, bus.DurabilityProcess), dir)
	n.byClock(c)
	n.run(stopReplies)
	return n
}

// visits is an event of a user in a session, at a minute after noon.
func (n *node) visits(session, user string, minute int, token string) *record.Command {
	c := n.of("test", session, fmt.Sprint(session, "-", minute), user, token)
	c.Received = noon.Add(time.Duration(minute) * time.Minute)
	c.Event.Time = c.Received
	return c
}

// ends are the ends of visits that EVENTS has.
func (n *node) ends() (list []sdk.View) {
	n.t.Helper()
	for _, e := range n.events() {
		if e.Type == record.TypeVisitEnded {
			list = append(list, sdk.RawView(e.Data))
		}
	}
	return list
}

func TestAVisitEndsWithoutAnotherEvent(t *testing.T) {
	clock := &turnedClock{}
	n := startClocked(t, t.TempDir(), clock)
	n.configure()
	n.send(n.visits("s1", "ann", 0, "1"), n.visits("s2", "ann", 10, "2"), n.visits("s1", "ann", 20, "3"))
	n.outcome("3")
	id := n.bus.DerivedProfile(record.KindUser, "ann", 0)
	clock.at(45) // s2 is over, s1 is not
	eventually(t, "the end of s2", func() bool { return visitsEnded(n.document(id)) == 1 })
	doc := n.document(id)
	if doc.Find("s2").Status != sdk.SessionEnded || doc.Find("s1").Status != sdk.SessionActive || doc.Due != noon.Add(50*time.Minute).UnixMilli() {
		t.Errorf("document %s", doc.AppendJSON(nil))
	}
	clock.at(51)
	eventually(t, "the end of s1", func() bool { return visitsEnded(n.document(id)) == 2 })
	if doc = n.document(id); doc.Due != 0 || doc.Profile.Stats.Visits != 2 {
		t.Errorf("document %s", doc.AppendJSON(nil))
	}
	ends := n.ends()
	if len(ends) != 2 {
		t.Fatalf("%d visits ended", len(ends))
	}
	if got := n.p.metrics.due.Get(); got != 2 {
		t.Errorf("%d commands that did what was due are counted, want 2", got)
	}
	for i, want := range []string{
		`{"session":"s2","visit":1,"started":"2026-03-01T12:10:00.000Z","ended":"2026-03-01T12:40:00.000Z","duration":0,"events":1}`,
		`{"session":"s1","visit":1,"started":"2026-03-01T12:00:00.000Z","ended":"2026-03-01T12:50:00.000Z","duration":1200,"events":2}`,
	} {
		if got := string(ends[i].At("event.properties").Raw()); got != want {
			t.Errorf("told %s\nwant %s", got, want)
		}
		if status, _ := ends[i].String("session.status"); status != sdk.SessionEnded {
			t.Errorf("the session is %s", status)
		}
	}
	// Its next event re-opens it.
	n.send(n.visits("s1", "ann", 52, "4"))
	n.outcome("4")
	if doc = n.document(id); doc.Profile.Stats.Visits != 3 || doc.Find("s1").Visits != 2 || doc.Due == 0 {
		t.Errorf("document %s", doc.AppendJSON(nil))
	}
}

// What is due is known again after a start, by the documents alone, also where it was
// due while nothing ran.
func TestWhatIsDueSurvivesARestart(t *testing.T) {
	clock := &turnedClock{}
	dir := t.TempDir()
	n := startClocked(t, dir, clock)
	n.configure()
	const people = 40 // in all partitions
	for i := range people {
		n.send(n.visits(fmt.Sprint("s", i), fmt.Sprint("u", i), i%2*20, fmt.Sprint("t", i)))
	}
	for i := range people {
		n.outcome(fmt.Sprint("t", i))
	}
	n.stop()
	clock.at(35)
	n = startClocked(t, dir, clock)
	ended := func() (count int64) {
		for i := range people {
			count += visitsEnded(n.document(n.bus.DerivedProfile(record.KindUser, fmt.Sprint("u", i), 0)))
		}
		return count
	}
	eventually(t, "the ends of the first half", func() bool { return ended() == people/2 })
	clock.at(51)
	eventually(t, "the ends of the others", func() bool { return ended() == people })
	if got := len(n.ends()); got != people {
		t.Errorf("%d ends are told, want %d", got, people)
	}
	for p := range n.bus.Partitions() {
		a := n.p.agendas[p].Load()
		a.mu.Lock()
		if len(a.at) > 0 || a.sent != 0 {
			t.Errorf("in the agenda of partition %d are %d, %d are being seen to", p, len(a.at), a.sent)
		}
		a.mu.Unlock()
	}
}

// However many visits end at once, few commands of that are in the log at a time, so
// that an event is behind few of them.
func TestManyThatAreDueLeaveRoomForEvents(t *testing.T) {
	clock := &turnedClock{}
	dir := t.TempDir()
	n, stopReplies := attach(t, openBus(t, dir, bus.DurabilityProcess), dir)
	defer stopReplies()
	defer func() { _ = n.bus.Close(context.Background()) }()
	n.byClock(clock)
	defer func() { _ = n.p.Close() }()
	p := newPartition(n.p, 0)
	if err := p.takeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.agenda = newAgenda()
	n.p.agendas[0].Store(p.agenda)
	for i := range 10 * dueMost {
		p.agenda.put(fmt.Sprint("p", i), noon.UnixMilli())
	}
	count := func() int {
		commands, _ := n.p.due()
		total := 0
		for _, m := range commands {
			list, err := record.ParseCommands(m.Command)
			if err != nil || m.Partition != 0 {
				t.Fatal(m.Partition, err)
			}
			for _, c := range list {
				if c.Kind != record.KindDue || !c.Received.Equal(noon) {
					t.Fatalf("command %+v", c)
				}
			}
			total += len(list)
		}
		return total
	}
	if first, second := count(), count(); first != dueMost || second != 0 {
		t.Errorf("%d are sent, then %d, want %d and none", first, second, dueMost)
	}
	p.tellDone(make([]item, 5)) // what is not due does not count
	if got := count(); got != 0 {
		t.Errorf("%d more are sent", got)
	}
	p.tellDone([]item{{Command: record.Command{Kind: record.KindDue}}, {}, {Command: record.Command{Kind: record.KindDue}}})
	if got := count(); got != 2 {
		t.Errorf("%d more are sent when two are done", got)
	}
	select {
	case <-n.p.room:
	default:
		t.Error("nobody is told that there is room")
	}
	// What could not be sent is due still.
	p.agenda = newAgenda()
	n.p.agendas[0].Store(p.agenda)
	p.agenda.put("p", noon.UnixMilli())
	for range 3 {
		commands, back := n.p.due()
		if len(commands) != 1 || p.agenda.sent != 1 {
			t.Errorf("%d messages, %d being seen to, want one", len(commands), p.agenda.sent)
		}
		back()
	}
}

// killDueDir names the directory of a process that is killed while visits end.
const killDueDir = "TRIBUTARY_PROCESSOR_KILL_DUE_DIR"

const (
	killDuePeople = 300
	killDueAhead  = time.Hour
)

// dueUntilKilled is the life of the process that TestKillWhileVisitsEnd kills: by its
// clock all visits are over.
func dueUntilKilled(dir string) error {
	b, err := bus.Open(context.Background(), busOptions(dir, bus.DurabilityProcess))
	if err != nil {
		return err
	}
	set, err := config.NewSet(1, nil)
	if err != nil {
		return err
	}
	p, err := New(context.Background(), Options{
		Bus: b, Resources: fixed{set}, Dir: dir, Sole: true, EventsMaxAge: 30 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return noon.Add(killDueAhead) },
	})
	if err != nil {
		return err
	}
	if err := p.Settle(context.Background()); err != nil {
		return err
	}
	fmt.Println("running")
	return p.Run(context.Background())
}

// TestKillWhileVisitsEnd kills the processor while it ends visits: each ends once.
func TestKillWhileVisitsEnd(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	clock := &turnedClock{}
	dir := t.TempDir()
	n := startClocked(t, dir, clock)
	n.configure()
	for i := range killDuePeople {
		n.send(n.visits(fmt.Sprint("s", i), fmt.Sprint("u", i), 0, fmt.Sprint("t", i)))
	}
	for i := range killDuePeople {
		n.outcome(fmt.Sprint("t", i))
	}
	n.stop()
	for round := range 4 {
		child := exec.Command(self)
		child.Env = append(os.Environ(), killDueDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if !bufio.NewScanner(out).Scan() {
			t.Fatal("the process does not start:", child.Wait())
		}
		time.Sleep(dueEvery + time.Duration(20*round)*time.Millisecond) // among the first commands
		if err := errors.Join(child.Process.Kill(), out.Close()); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the process ended by itself")
		}
	}
	clock.at(int(killDueAhead.Minutes()))
	n = startClocked(t, dir, clock)
	eventually(t, "the ends of all visits", func() bool {
		for i := range killDuePeople {
			if visitsEnded(n.document(n.bus.DerivedProfile(record.KindUser, fmt.Sprint("u", i), 0))) == 0 {
				return false
			}
		}
		return true
	})
	ends := map[string]int{}
	for _, e := range n.ends() {
		session, _ := e.String("event.session")
		ends[session]++
	}
	for session, times := range ends {
		if times != 1 {
			t.Errorf("%s ended %d times", session, times)
		}
	}
	if len(ends) != killDuePeople {
		t.Errorf("%d visits ended, want %d", len(ends), killDuePeople)
	}
}
