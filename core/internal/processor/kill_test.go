package processor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// killDir names the directory of a process that is going to be killed.
const killDir = "TRIBUTARY_PROCESSOR_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		if err := processUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	if dir := os.Getenv(killDueDir); dir != "" {
		if err := dueUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// processUntilKilled is the life of the process that TestKill kills: a
// processor at work on what the log holds. It says when it has begun.
func processUntilKilled(dir string) error {
	b, err := bus.Open(context.Background(), busOptions(dir, bus.DurabilityProcess))
	if err != nil {
		return err
	}
	p, err := newProcessor(context.Background(), b, dir)
	if err != nil {
		return err
	}
	p.options.Reached = killAt(os.Getenv(killStep))
	fmt.Println("running")
	if p.options.Reached == nil {
		return p.Run(context.Background())
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // it ends where it is not killed
		for still := 0; still < 3; time.Sleep(20 * time.Millisecond) {
			done, end, err := p.Processed(ctx)
			if owned, _ := p.Owned(); err == nil && done == end && !slices.Contains(owned, false) {
				still++
			} else {
				still = 0
			}
		}
		os.Exit(0)
	}()
	defer cancel()
	return p.Run(ctx)
}

const (
	killPeople = 20
	killEach   = 200 // rounds of commands about each
	// killEvents are sent on: three a round, and that there is somebody new.
	killEvents = killPeople * (3*killEach + 1)
)

// killPerson is the id of a person of the test. They have no identifiers.
func killPerson(i int) string { return fmt.Sprint("person-", i) }

// fill appends events and patches in turn, those about one person in order; some
// come twice. A patch sends an event of its own, and makes its person enter a
// segment or leave it.
func (n *node) fill() {
	for round := range killEach {
		var batch []*record.Command
		for i := range killPeople {
			e := n.adds(fmt.Sprint(i, "-", round), "", round, "")
			e.Event.IDs, e.Profile, e.Settled = nil, killPerson(i), true
			run := fmt.Sprint("run-", i, "-", round)
			c := n.patches(run, killPerson(i), &record.Patch{
				By: "flow/test",
				Patches: []wire.Patch{
					increment("counters.patched", 1), {Op: wire.OpAppend, Path: "data.order", Value: fmt.Appendf(nil, "%q", run)},
					{Op: []wire.Op{wire.OpEnter, wire.OpLeave}[round%2], Path: "segments.odd"},
				},
				Events: []record.Event{{ID: run, Type: "sent", Source: "flow"}},
			}, "")
			batch = append(batch, e, c)
			if (i+round)%3 == 0 {
				batch = append(batch, c, e)
			}
		}
		n.send(batch...)
	}
}

// outcomeOf is what is to be the same however often the processor was killed.
func (n *node) outcomeOf() (documents []string, events int) {
	for i := range killPeople {
		doc := n.document(killPerson(i))
		doc.C = 0 // how the commands were divided into commits
		documents = append(documents, string(doc.AppendJSON(nil)))
	}
	seen := map[string]bool{}
	for _, e := range n.allEvents() {
		seen[fmt.Sprint(e.Partition, " ", e.C, " ", e.N)] = true
	}
	return documents, len(seen)
}

// checkChanges checks that each patch has told once what it changed.
func (n *node) checkChanges() {
	n.t.Helper()
	told := map[string]int{}
	for _, e := range n.eventsAndChanges() {
		if e.Type != record.TypeChange {
			continue
		}
		change := sdk.RawView(e.Data).At("change")
		profile, _ := change.String("profile")
		patched, _ := change.Member("changes").Member("counters.patched").Int("")
		told[fmt.Sprint(profile, " ", patched)]++
	}
	if len(told) != killPeople*killEach {
		n.t.Errorf("%d changes are told, want %d", len(told), killPeople*killEach)
	}
	for what, times := range told {
		if times != 1 {
			n.t.Errorf("the change of %s is told %d times", what, times)
		}
	}
}

// TestKill kills the processor at random moments while it folds events and
// patches: the people end as they do where nothing disturbs it.
func TestKill(t *testing.T) {
	const kills = 5
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(kills int) (documents []string, events int) {
		dir := t.TempDir()
		n := &node{t: t, dir: dir, bus: openBus(t, dir, bus.DurabilityProcess)}
		n.configure()
		n.fill()
		if err := n.bus.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		for range kills {
			child := exec.Command(self)
			child.Env = append(os.Environ(), killDir+"="+dir)
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
			time.Sleep(time.Duration(50+rand.IntN(250)) * time.Millisecond)
			if err := errors.Join(child.Process.Kill(), out.Close()); err != nil {
				t.Fatal(err)
			}
			if err := child.Wait(); err == nil {
				t.Fatal("the process ended by itself")
			}
		}
		n = start(t, dir)
		defer n.stop()
		eventually(t, "all to be processed", func() bool {
			for i := range killPeople {
				doc := n.document(killPerson(i))
				if doc == nil || doc.Profile.Stats.Events["sent"].Count < killEach ||
					doc.Profile.Stats.Events[record.TypeSegmentEntered].Count+doc.Profile.Stats.Events[record.TypeSegmentLeft].Count < killEach {
					return false
				}
			}
			last, err := n.bus.EventsLast(t.Context())
			return err == nil && last >= killEvents+killPeople*killEach // with what the patches changed
		})
		n.checkChanges()
		return n.outcomeOf()
	}
	want, events := run(0)
	if events != killEvents {
		t.Errorf("undisturbed, %d events were sent on, want %d", events, killEvents)
	}
	got, again := run(kills)
	if again != events {
		t.Errorf("killed %d times, %d events were sent on, want %d", kills, again, events)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("killed %d times, %s became\n%.600s\nwant\n%.600s", kills, killPerson(i), got[i], want[i])
		}
	}
}
