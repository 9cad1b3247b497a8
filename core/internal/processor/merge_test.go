package processor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// by is an event by identifiers, "kind:value", the strongest first, that adds n. It
// goes to where a gateway that knows nothing sends it.
func (n *node) by(id string, value int, at time.Time, identifiers ...string) *record.Command {
	c := n.adds(id, "", value, "")
	c.Event.IDs, c.Event.Time, c.Received = nil, at, at
	for _, one := range identifiers {
		kind, v, _ := strings.Cut(one, ":")
		c.Event.IDs = append(c.Event.IDs, record.Identifier{Kind: kind, Value: v})
	}
	c.Profile = n.bus.DerivedProfile(c.Event.IDs[0].Kind, c.Event.IDs[0].Value, 0)
	return c
}

// survivor is the live profile that an id leads to.
func (n *node) survivor(id string) *record.Document {
	n.t.Helper()
	for range 50 {
		doc := n.document(id)
		if doc == nil || doc.State != record.StateRedirect {
			return doc
		}
		id = doc.To
	}
	n.t.Fatal("the redirects run in a circle")
	return nil
}

// settled waits until all that was sent is processed, and what that sent as well.
func (n *node) settled() {
	n.t.Helper()
	eventually(n.t, "the log to be processed", func() bool {
		if owned, _ := n.p.Owned(); slices.Contains(owned, false) {
			return false // what a commit did may be repeated still
		}
		end, err := n.bus.IngestLast(n.t.Context())
		if err != nil {
			n.t.Fatal(err)
		}
		done, _, err := n.p.Processed(n.t.Context())
		if err != nil || done < end {
			return false
		}
		again, err := n.bus.IngestLast(n.t.Context())
		return err == nil && again == end
	})
}

// An anonymous visitor browses, signs up, and logs in on a second device: one person
// with the whole history, in whatever order the events arrive.
func TestAVisitorIsOnePersonInEveryOrder(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	type one struct {
		at  int
		ids []string
	}
	events := []one{
		{1, []string{"anonymous:phone"}}, {2, []string{"anonymous:phone"}}, {3, []string{"user:ann", "email:ann@mail.example", "anonymous:phone"}},
		{4, []string{"anonymous:laptop"}}, {5, []string{"user:ann", "anonymous:laptop"}},
	}
	number := 0
	var orders [][]int
	permute([]int{0, 1, 2, 3, 4}, func(order []int) { orders = append(orders, slices.Clone(order)) })
	for _, order := range orders {
		for _, i := range order {
			var ids []string
			for _, id := range events[i].ids {
				ids = append(ids, fmt.Sprint(id, number))
			}
			at := noon.Add(time.Duration(events[i].at) * time.Minute)
			c := n.by(fmt.Sprint(number, "-", i), i+1, at, ids...)
			c.Received = noon.Add(time.Hour)
			n.send(c)
		}
		number++
	}
	n.settled()
	for number, order := range orders {
		held, _, err := n.bus.GetIdentity(t.Context(), n.bus.IdentityKey("user", fmt.Sprint("ann", number)))
		if err != nil {
			t.Fatal(err)
		}
		doc := n.survivor(held.Profile)
		p := doc.Profile
		s := p.Stats.Events["add"]
		if p.Counters["sum"] != int64(15) || s.Count != 5 || !s.First.Equal(noon.Add(time.Minute)) || !s.Last.Equal(noon.Add(5*time.Minute)) || p.Traits["last"] != int64(5) {
			t.Errorf("order %v: %s", order, p.AppendJSON(nil))
		}
		if len(p.Identities["anonymous"]) != 2 || len(p.Identities["email"]) != 1 || len(p.Identities["user"]) != 1 {
			t.Errorf("order %v: identities %v", order, p.Identities)
		}
		for _, id := range []string{"anonymous:phone", "anonymous:laptop", "email:ann@mail.example", "user:ann"} {
			kind, value, _ := strings.Cut(id, ":")
			held, _, err := n.bus.GetIdentity(t.Context(), n.bus.IdentityKey(kind, fmt.Sprint(value, number)))
			if err != nil || n.survivor(held.Profile).Profile.ID != p.ID {
				t.Errorf("order %v: the %s is held by %s, want %s; %v", order, id, held.Profile, p.ID, err)
			}
		}
	}
}

func permute(list []int, each func([]int)) {
	var at func(int)
	at = func(k int) {
		if k == len(list) {
			each(list)
			return
		}
		for i := k; i < len(list); i++ {
			list[k], list[i] = list[i], list[k]
			at(k + 1)
			list[k], list[i] = list[i], list[k]
		}
	}
	at(0)
}

// Two profiles become one while both receive events: nothing is lost, nothing counts
// twice.
func TestAMergeWhileBothSidesReceive(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	const each = 1500
	n.send(n.by("first a", 1, noon, "anonymous:a"), n.by("first b", 1, noon, "email:b@mail.example"))
	n.settled()
	var senders sync.WaitGroup
	for _, id := range []string{"anonymous:a", "email:b@mail.example"} {
		senders.Go(func() {
			for i := range each {
				c := n.by(fmt.Sprint(id, i), 1, noon.Add(time.Duration(i)*time.Millisecond), id)
				n.send(c)
				if i%7 == 0 {
					n.send(c) // a retry
				}
				if i == each/3 && strings.HasPrefix(id, "anonymous") {
					n.send(n.by("both", 1, noon, "email:b@mail.example", "anonymous:a"))
				}
			}
		})
	}
	senders.Wait()
	n.settled()
	const want = 2*each + 3
	a := n.survivor(n.bus.DerivedProfile("anonymous", "a", 0)).Profile
	b := n.survivor(n.bus.DerivedProfile("email", "b@mail.example", 0)).Profile
	if a.ID != b.ID || a.Counters["sum"] != int64(want) || a.Stats.Events["add"].Count != want || a.Stats.Events[record.TypeProfileMerged].Count != 1 {
		t.Errorf("%s and %s: sum %v, stats %+v, want %d", a.ID, b.ID, a.Counters["sum"], a.Stats.Events, want)
	}
	told := 0
	ids := map[string]bool{}
	for _, e := range n.events() {
		v := sdk.RawView(e.Data)
		id, _ := v.String("event.id")
		if from, merged := v.String("event.properties.from"); merged && e.Type == record.TypeProfileMerged {
			told++
			if !slices.Contains(a.IDs, from) || from == a.ID {
				t.Errorf("%s was merged, of %v", from, a.IDs)
			}
			continue
		}
		if ids[id] {
			t.Errorf("event %s was sent on twice", id)
		}
		ids[id] = true
	}
	if told != 1 || len(ids) != want {
		t.Errorf("%d events, %d merges told; want %d and 1", len(ids), told, want)
	}
}

// Eighteen devices become one person one after another, each time into an older
// profile; an event that names any of their profiles arrives.
func TestEighteenDevicesBecomeOne(t *testing.T) {
	n := start(t, t.TempDir())
	n.configure()
	const devices = 18
	var old []string
	for i := range devices { // the later, the older
		c := n.by(fmt.Sprint("device ", i), 1, noon.Add(-time.Duration(i)*time.Hour), fmt.Sprint("anonymous:", i))
		old = append(old, c.Profile)
		n.send(c)
	}
	n.settled()
	for i := 1; i < devices; i++ {
		n.send(n.by(fmt.Sprint("link ", i), 1, noon.Add(time.Hour), fmt.Sprint("anonymous:", i-1), fmt.Sprint("anonymous:", i)))
		n.settled()
	}
	for i, id := range old {
		c := n.by(fmt.Sprint("again ", i), 1, noon.Add(2*time.Hour), fmt.Sprint("anonymous:", i))
		c.Event.IDs, c.Event.Profile, c.Profile = nil, id, id
		n.send(c)
	}
	n.settled()
	p := n.survivor(old[0]).Profile
	const want = devices + devices - 1 + devices
	if p.ID != old[devices-1] || p.Counters["sum"] != int64(want) || len(p.IDs) != devices {
		t.Errorf("%s of %v: %v, want %d in %s", p.ID, p.IDs, p.Counters, want, old[devices-1])
	}
	hops := 0
	for id := old[0]; n.document(id).State == record.StateRedirect; id = n.document(id).To {
		hops++
	}
	if hops > 2 {
		t.Errorf("from the first device's profile %d redirects lead to the last one's", hops)
	}
	if dead := n.deadLetters(); len(dead) > 0 {
		t.Errorf("dead letters: %+v", dead)
	}
}

// killStep says at which step, and at which time that it is reached, a process of
// TestKillAtEachStepOfAMerge ends itself.
const killStep = "TRIBUTARY_PROCESSOR_KILL_STEP"

// killAt kills the process where the text says so: "step/n".
func killAt(text string) func(Step) {
	name, number, ok := strings.Cut(text, "/")
	left, err := strconv.Atoi(number)
	if !ok || err != nil {
		return nil
	}
	var mu sync.Mutex
	return func(s Step) {
		mu.Lock()
		defer mu.Unlock()
		if string(s) != name {
			return
		}
		if left--; left == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}

// story is a chain of merges, and what else happens meanwhile.
func (n *node) story() {
	n.send(
		n.by("1", 1, noon, "anonymous:a"), n.by("2", 2, noon.Add(time.Second), "anonymous:b"), n.by("3", 4, noon.Add(2*time.Second), "user:u"),
		n.by("4", 8, noon.Add(3*time.Second), "user:u", "anonymous:b"), n.by("5", 16, noon.Add(4*time.Second), "anonymous:b", "anonymous:a"),
		n.by("6", 32, noon.Add(5*time.Second), "anonymous:c", "anonymous:a"), n.by("7", 64, noon.Add(6*time.Second), "anonymous:c"),
		n.by("8", 128, noon.Add(7*time.Second), "email:m", "user:u"),
	)
}

// TestKillAtEachStepOfAMerge kills the process at each step that a chain of merges
// takes, each time that it is reached: it ends as where nothing disturbs it.
func TestKillAtEachStepOfAMerge(t *testing.T) {
	if testing.Short() {
		t.Skip("dozens of processes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	life := func(step string) (outcome string, reached bool) {
		dir := t.TempDir()
		n := &node{t: t, dir: dir, bus: openBus(t, dir, bus.DurabilityProcess)}
		n.configure()
		n.story()
		if err := n.bus.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if step != "" {
			child := exec.CommandContext(t.Context(), self)
			child.Env = append(os.Environ(), killDir+"="+dir, killStep+"="+step)
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
			reached = child.Wait() != nil
		}
		n = start(t, dir)
		defer n.stop()
		n.settled()
		var texts []string
		people := map[string]bool{}
		for _, id := range []string{"anonymous:a", "anonymous:b", "anonymous:c", "user:u", "email:m"} {
			kind, value, _ := strings.Cut(id, ":")
			held, _, err := n.bus.GetIdentity(t.Context(), n.bus.IdentityKey(kind, value))
			if err != nil {
				t.Fatal(err)
			}
			doc := n.survivor(held.Profile)
			if doc == nil {
				texts = append(texts, id+" is held by nobody")
				continue
			}
			p := doc.Profile
			people[p.ID] = true
			slices.Sort(p.Identities["anonymous"])
			order, _ := p.Data["order"].([]any)
			texts = append(texts, fmt.Sprintf("%s: %v %v %d %v %v", id, p.Identities, p.Counters, len(order), p.Traits, p.Stats.Events["add"]))
		}
		texts = append(texts, fmt.Sprint(len(people), " people"))
		events := map[string]int{}
		for _, e := range n.events() {
			if id, _ := sdk.RawView(e.Data).String("event.id"); e.Type == "add" {
				if events[id]++; events[id] > 1 {
					texts = append(texts, "twice: "+id)
				}
			}
		}
		return strings.Join(append(texts, fmt.Sprint(len(events), " events")), "\n"), reached
	}
	want, _ := life("")
	if !strings.Contains(want, "user:[u]") || !strings.Contains(want, "sum:") {
		t.Fatal(errors.New(want))
	}
	for _, step := range []Step{StepKey, StepCommit, StepCommands, StepEvents, StepDocuments, StepMove, StepSeen, StepKnown, StepAnswer} {
		for number := 1; ; number++ {
			got, reached := life(fmt.Sprint(step, "/", number))
			if !reached {
				if number == 1 {
					t.Errorf("%s: never", step)
				}
				break
			}
			if got != want {
				t.Errorf("killed when %s, time %d:\n%s\nwant\n%s", step, number, got, want)
			}
		}
	}
}
