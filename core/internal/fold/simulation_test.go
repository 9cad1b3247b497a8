package fold

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// A mutation is a rule that is left out on purpose.
type mutation int

const (
	none mutation = iota
	noMerge
	noAbsorb
	noRelink
	noDedup
	seenWhereForwarded
	noFencing
	noRepeat
	noCompare
	noCompareKeys
	noCreate
	noUsers
	noAgreement
	noGeneration
	noTombstone
	noRank
	noForward
	noLinks
	noLeave
	noMove
	noOrder // no rule: effects may be done in any order
)

// mutate leaves out, of what a command does, what the mutation is about.
func (w *world) mutate(c *record.Command, r *Result) {
	drop := func(kind record.Kind) {
		r.Commands = slices.DeleteFunc(r.Commands, func(c record.Command) bool { return c.Kind == kind })
	}
	switch w.without {
	case noMerge:
		drop(record.KindMerge)
	case noAbsorb:
		drop(record.KindAbsorb)
	case noRelink:
		r.Moves = nil
	case noUsers:
		for i := range r.Commands {
			if m := &r.Commands[i]; m.Kind == record.KindMerge {
				body, err := record.ParseMerge(m.Body)
				if err != nil {
					panic(err)
				}
				delete(body.Identities, record.KindUser)
				m.Body = record.AppendMerge(nil, body)
			}
		}
	case noAgreement:
		if c.Kind == record.KindMerge && r.Changed && r.Doc.State == record.StateLive {
			r.Changed = false
		}
	case noTombstone:
		if c.Kind == record.KindErase && r.Changed {
			r.Changed = false
		}
	case noLinks:
		if c.Kind == record.KindEvent {
			r.Commands = slices.DeleteFunc(r.Commands, func(m record.Command) bool {
				body, err := record.ParseMerge(m.Body)
				return m.Kind == record.KindMerge && err == nil && len(body.Shared) == 0
			})
		}
	case noLeave, noMove:
		r.Changes = slices.DeleteFunc(r.Changes, func(told record.Processed) bool {
			return sdk.RawView(told.Data).At("left").IsObject() == (w.without == noLeave)
		})
	case noForward:
		if r.Forwarded {
			r.Commands = nil
		}
	case noRank:
		for i := range r.Commands {
			if m := &r.Commands[i]; m.Kind == record.KindMerge {
				body, err := record.ParseMerge(m.Body)
				if err != nil {
					panic(err)
				}
				body.Peer.Created = noon.AddDate(-1, 0, 0) // everybody claims to be the older
				m.Body = record.AppendMerge(nil, body)
			}
		}
	}
}

const simulated = `
kind: source
id: s
spec: {fingerprint: 15m}
---
kind: event-type
id: e
spec:
  copy:
    - {to: counters.n, op: increment}
    - {to: data.events, from: event.id, op: append}
    - {to: traits.last, from: event.id, op: set}
`

// A life is what happens in one run: events of some people, sent again and again
// through gateways that may be behind, and perhaps an erasure.
type life struct {
	*world
	events  []*record.Command
	pending []int // events to send, by index, each as often as it is sent
	shared  bool  // one device is used by several users
	last    map[string]int64
	// web decides about links and fingerprints, nil in runs that have none. Linked are
	// the events that were sent once.
	web    *rand.Rand
	linked map[string]bool
}

func newLife(seed uint64, rules *Rules, without mutation) *life {
	l := &life{world: newWorld(seed, rules, without), linked: map[string]bool{}}
	if seed%3 == 0 {
		l.web = rand.New(rand.NewPCG(seed, 8))
	}
	return l
}

func (l *life) prepare() {
	l.shared = l.IntN(3) == 0
	people := 1 + l.IntN(3)
	for p := range people {
		ids := []record.Identifier{{Kind: record.KindAnonymous, Value: fmt.Sprint("a", p)}, {Kind: record.KindAnonymous, Value: fmt.Sprint("b", p)},
			{Kind: record.KindEmail, Value: fmt.Sprint("m", p)}, {Kind: record.KindUser, Value: fmt.Sprint("u", p)}}
		if l.shared {
			ids[0].Value = "shared"
		}
		for range 3 + l.IntN(5) {
			var of []record.Identifier
			for len(of) == 0 {
				for i := len(ids) - 1; i >= 0; i-- { // the strongest first
					if l.IntN(5) < 2 {
						of = append(of, ids[i])
					}
				}
			}
			id := fmt.Sprint("e", len(l.events))
			at := l.tick()
			c := &record.Command{Kind: record.KindEvent, ID: record.EventID("s", id), Received: at,
				Event: &record.Event{ID: id, Type: "e", Source: "s", Time: at, IDs: of}}
			if l.IntN(4) == 0 {
				c.Event.Session = fmt.Sprint("s", p)
			}
			if l.web != nil && l.web.IntN(4) == 0 {
				c.Event.Fingerprint = fmt.Sprint("f", p)
				if l.shared {
					c.Event.Fingerprint = "shared"
				}
			}
			l.events = append(l.events, c)
			for range 1 + l.IntN(3) {
				l.pending = append(l.pending, len(l.events)-1)
			}
		}
	}
	l.Shuffle(len(l.pending), func(i, j int) { l.pending[i], l.pending[j] = l.pending[j], l.pending[i] })
}

// gateway sends an event to whom a gateway takes for its profile.
func (l *life) gateway(c *record.Command) {
	next := *c
	next.Received = l.tick()
	event := *c.Event
	next.Event = &event
	l.link(c)
	event.Passed = c.Event.Passed
	for _, id := range EventIdentifiers(&event) {
		if id.Kind == record.KindFingerprint && !event.ByFingerprint() {
			continue
		}
		holder := l.identities[id].holder
		if old := l.former[id]; len(old) > 0 && l.IntN(3) == 0 {
			holder = old[l.IntN(len(old))] // it is behind
		}
		if holder != "" {
			next.Profile = holder
			break
		}
	}
	if next.Profile == "" {
		first := EventIdentifiers(&event)[0]
		next.Profile = l.derive(Claim{Identifier: first, Gen: l.identities[first].gen})
	}
	l.send(next)
}

// link has an event, when it is sent first, come by a link from another site: of a
// profile that the same person has by then.
func (l *life) link(c *record.Command) {
	if l.web == nil || l.linked[c.Event.ID] {
		return
	}
	l.linked[c.Event.ID] = true
	if l.shared || l.web.IntN(3) > 0 {
		return
	}
	var has []string
	for _, other := range l.events {
		id := other.Event.IDs[0]
		if holder := l.identities[id].holder; id.Value[1:] == c.Event.IDs[0].Value[1:] && l.profiles[holder].text != "" {
			has = append(has, holder)
		}
	}
	if len(has) > 0 {
		c.Event.Passed = has[l.web.IntN(len(has))]
	}
}

// live runs it all, and then on without faults until nothing is left to do.
func (l *life) live() error {
	l.faults = []float64{0, 0.02, 0.1, 0.3}[l.IntN(4)]
	erasures := 0
	if l.IntN(3) == 0 {
		erasures = 1 + l.IntN(2)
	}
	for len(l.pending) > 0 {
		switch l.IntN(4) {
		case 0:
			next := l.pending[0]
			l.pending = l.pending[1:]
			l.gateway(l.events[next])
		default:
			l.step()
		}
		if erasures > 0 && l.IntN(20) == 0 {
			erasures--
			l.erase()
		}
		if l.web != nil && l.web.IntN(20) == 0 {
			l.expire()
		}
		if l.IntN(30) == 0 {
			l.die(l.IntN(worldParts))
		}
	}
	l.faults = 0
	for range 4 { // whatever still stalls wakes, and is too late
		for quiet := false; !quiet; {
			quiet = true
			for p := range worldParts {
				before := l.busy(p)
				l.work(p)
				quiet = quiet && !before
			}
			if len(l.log[0])+len(l.log[1])+len(l.log[2]) > 5000 {
				return errors.New("it does not come to rest")
			}
		}
		for _, effect := range l.stalled {
			effect()
		}
		l.stalled = nil
	}
	return l.check()
}

func (w *world) busy(p int) bool { return w.owners[p] == nil || w.owners[p].at < len(w.log[p]) }

// expire has the time of a fingerprint be up.
func (l *life) expire() {
	if e := l.events[l.web.IntN(len(l.events))].Event; e.Fingerprint != "" {
		id := e.FingerprintIdentifier()
		l.identities[id] = identity{revision: l.identities[id].revision + 1}
	}
}

// erase asks that somebody be forgotten.
func (l *life) erase() {
	e := l.events[l.IntN(len(l.events))]
	for _, id := range e.Event.IDs {
		if holder := l.identities[id].holder; holder != "" {
			l.send(record.Command{Kind: record.KindErase, ID: record.EventID("erase", fmt.Sprint(l.Uint64())), Profile: holder,
				Received: l.tick(), Body: record.AppendErase(nil, &record.Erase{})})
			return
		}
	}
}

// check says what is wrong with what came of it.
func (l *life) check() error {
	where := map[string]string{} // event → live profile
	users := map[string]string{} // user → live profile
	l.last = map[string]int64{}
	documents := map[string]*record.Document{}
	for id, s := range l.profiles {
		doc, err := record.ParseDocument([]byte(s.text))
		if err != nil {
			return err
		}
		documents[id] = doc
		if doc.State != record.StateLive {
			continue
		}
		p := doc.Profile
		events := eventsOf(doc)
		if n, _ := p.Counters["n"].(int64); int(n) != len(events) {
			return fmt.Errorf("%s has counted %d of its events %v", id, n, events)
		}
		for _, e := range events {
			if other, twice := where[e]; twice {
				return fmt.Errorf("event %s is in %s and in %s", e, other, id)
			}
			where[e] = id
		}
		if len(p.Identities[record.KindUser]) > 1 {
			return fmt.Errorf("%s is of the users %v", id, p.Identities[record.KindUser])
		}
		if err := l.holds(p); err != nil {
			return err
		}
		for _, u := range p.Identities[record.KindUser] {
			if holder, err := l.resolve(l.identities[record.Identifier{Kind: record.KindUser, Value: u}].holder); err != nil || holder == id {
				users[u] = id
			}
		}
		for _, old := range p.IDs {
			if end, err := l.resolve(old); err != nil || end != id && end != "" {
				return fmt.Errorf("the id %s of %s leads to %q: %w", old, id, end, err)
			}
		}
	}
	if err := l.index.check(documents); err != nil {
		return err
	}
	for id := range l.identities {
		if _, err := l.resolve(l.identities[id].holder); err != nil {
			return fmt.Errorf("%v: %w", id, err)
		}
	}
	for _, c := range l.events {
		if _, there := where[c.Event.ID]; !there && !l.dropped[c.Event.ID] {
			return fmt.Errorf("event %s of %v is lost", c.Event.ID, c.Event.IDs)
		} else if there && l.dropped[c.Event.ID] {
			return fmt.Errorf("event %s of %v came back after its profile was erased", c.Event.ID, c.Event.IDs)
		}
		for _, e := range l.erasures {
			if at, there := where[c.Event.ID]; there && slices.Contains(e.ids, at) {
				return fmt.Errorf("event %s is in %s, which was erased", c.Event.ID, at)
			}
		}
	}
	if len(l.erasures) == 0 {
		return l.together(where, users)
	}
	return nil
}

// holds tells whether a profile's identifiers lead straight to it. Of two users who use
// one device at the same instant one has its id; the other's profile may name it too.
func (l *life) holds(p *sdk.Profile) error {
	if len(l.erasures) > 0 {
		return nil
	}
	for kind, values := range p.Identities {
		if l.shared && record.Moves(kind) {
			continue
		}
		for _, value := range values {
			if holder := l.identities[record.Identifier{Kind: kind, Value: value}].holder; holder != p.ID {
				return fmt.Errorf("the %s %s of %s is held by %s", kind, value, p.ID, holder)
			}
		}
	}
	return nil
}

// together holds that who is one person is one profile.
func (l *life) together(where, users map[string]string) error {
	for i, a := range l.events {
		if to := a.Event.Passed; to != "" {
			x, err := l.resolve(to)
			if err != nil {
				return err
			}
			if x != where[a.Event.ID] {
				return fmt.Errorf("event %s is in %s, its link names %s, which is %s now", a.Event.ID, where[a.Event.ID], to, x)
			}
		}
		for _, b := range l.events[:i] {
			for _, id := range a.Event.IDs {
				if l.shared && id.Kind != record.KindUser || !slices.Contains(b.Event.IDs, id) {
					continue
				}
				if x, y := where[a.Event.ID], where[b.Event.ID]; x != y {
					return fmt.Errorf("%v has events in %s (%s) and %s (%s)", id, x, a.Event.ID, y, b.Event.ID)
				}
			}
		}
		if !l.shared {
			continue
		}
		for _, id := range a.Event.IDs {
			if id.Kind == record.KindUser && users[id.Value] != where[a.Event.ID] {
				return fmt.Errorf("event %s of user %s is in %s, the user's profile is %s", a.Event.ID, id.Value, where[a.Event.ID], users[id.Value])
			}
		}
	}
	return nil
}

// resolve follows redirects to a live profile, or to nobody where it was erased or
// never came to be.
func (l *life) resolve(id string) (string, error) {
	for range 100 {
		s, ok := l.profiles[id]
		if !ok {
			return "", nil
		}
		doc, err := record.ParseDocument([]byte(s.text))
		if err != nil {
			return "", err
		}
		switch doc.State {
		case record.StateLive:
			return id, nil
		case record.StateErased:
			return "", nil
		}
		id = doc.To
	}
	return "", fmt.Errorf("the redirects of %s run in a circle", id)
}

func simulate(seed uint64, rules *Rules, without mutation) (err error) {
	l := newLife(seed, rules, without)
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
		}
	}()
	l.prepare()
	return l.live()
}

// TestSimulation runs the protocol of identities and merges through partitions whose
// owners die or stall between any two steps, gateways that are behind, retries,
// erasures, links from other sites and fingerprints: nothing is lost, nothing counts
// twice, who is one person ends as one profile, no profile is of two users, and the
// query store has each session once.
func TestSimulation(t *testing.T) {
	runs := uint64(2000)
	if os.Getenv("TRIBUTARY_SOAK") != "" {
		runs = 100_000
	}
	if text := os.Getenv("TRIBUTARY_SIMULATION"); text != "" { // one run, to look into
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		l := newLife(seed, compile(t, simulated), none)
		l.trace = func(c *commitment, command *record.Command, claims []Claim, r *Result, known bool) {
			what := fmt.Sprintf("p%d c%d: kind %d at %s", c.id.Partition, c.id.C, command.Kind, command.Profile)
			if command.Event != nil {
				what += fmt.Sprint(" ", command.Event.ID, " ", command.Event.IDs, command.Event.Session)
			}
			for _, claim := range claims {
				what += fmt.Sprintf(" %s=%s<%s", claim.Value, claim.Holder, claim.From)
			}
			if r.Doc != nil && r.Doc.Profile != nil {
				what += fmt.Sprint(" live ", r.Doc.Profile.Identities)
			} else if r.Doc != nil {
				what += " " + r.Doc.State + " " + r.Doc.To
			}
			for i := range r.Commands {
				what += fmt.Sprintf(" -> %d to %s", r.Commands[i].Kind, r.Commands[i].Profile)
			}
			t.Log(what, " known:", known, "moves", r.Moves)
		}
		l.prepare()
		if err := l.live(); err != nil {
			t.Fatal(err)
		}
		return
	}
	rules := compile(t, simulated)
	for _, without := range []mutation{none, noOrder} {
		if seed, err := firstFailure(runs, rules, without); err != nil {
			t.Errorf("mutation %d, run %d: %v", without, seed, err)
		}
	}
}

// TestSimulationFindsWhatIsLeftOut leaves out one rule at a time: the simulation
// fails then.
func TestSimulationFindsWhatIsLeftOut(t *testing.T) {
	rules := compile(t, simulated)
	for name, without := range map[string]mutation{
		"proposals": noMerge, "what a merged profile was": noAbsorb, "keys that move": noRelink, "dedup": noDedup,
		"seen only where applied": seenWhereForwarded, "conditional commits": noFencing, "repeated effects": noRepeat,
		"a newer document stays": noCompare, "keys that moved on": noCompareKeys, "keys by create": noCreate,
		"one user a person": noUsers, "the user is agreed on first": noAgreement, "erased keys": noGeneration,
		"a tombstone": noTombstone, "rank": noRank, "forwarding": noForward, "links": noLinks,
		"what left a profile": noLeave, "what came to one": noMove,
	} {
		if seed, err := firstFailure(4000, rules, without); err == nil {
			t.Errorf("without %s 4000 runs find nothing", name)
		} else {
			t.Logf("without %s: run %d: %v", name, seed, err)
		}
	}
}

func firstFailure(runs uint64, rules *Rules, without mutation) (seed uint64, err error) {
	var next, failed atomic.Uint64
	var once sync.Once
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for n := next.Add(1); n <= runs && failed.Load() == 0; n = next.Add(1) {
				if e := simulate(n, rules, without); e != nil {
					once.Do(func() {
						failed.Store(n)
						err = e
					})
				}
			}
		})
	}
	group.Wait()
	return failed.Load(), err
}
