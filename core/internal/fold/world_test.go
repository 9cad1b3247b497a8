package fold

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// A world is everything around the fold, simulated: the log, the commits and their
// effects, the buckets, owners that die or stall between any two steps, and gateways
// that know what was so once. The fold in it is the real one.
type world struct {
	*rand.Rand
	rules   *Rules
	without mutation
	clock   time.Time

	log        [][]record.Command
	commits    [][]*commitment
	owners     []*owner // by partition; nil: whoever owned it is dead
	stalled    []func() // effects of owners that stall
	zombies    []zombie // owners that stall
	inside     bool     // of a batch: another partition works meanwhile
	profiles   map[string]stored
	identities map[record.Identifier]identity
	seen       map[record.ID]bool // recorded, or reserved by a batch
	former     map[record.Identifier][]string
	index      *index // what the query store has of sessions
	erasures   []erasure
	dropped    map[string]bool // events that an erasure took
	faults     float64         // how often something dies at a step
	trace      func(c *commitment, command *record.Command, claims []Claim, r *Result, known bool)
}

type stored struct {
	text string
	c    uint64
}

type identity struct {
	holder   string
	gen      uint64
	revision int
	by       record.CommitID
}

// A commitment is a commit: what the effects need.
type commitment struct {
	id        record.CommitID
	to        int // of the log
	documents map[string]string
	moves     []move
	seen      []record.ID
	commands  []record.Command
	told      []record.Processed
	erasures  []erasure
	dropped   []string
}

type move struct {
	id       record.Identifier
	to       string
	erased   bool
	from, by record.CommitID
}

type owner struct {
	c  uint64
	at int // in the log
}

// A zombie is an owner that does not know yet that it is one no more, and of the ids
// seen only what it knew.
type zombie struct {
	owner
	part int
	seen map[record.ID]bool
}

// An erasure is what was in a profile when it was erased.
type erasure struct {
	at  time.Time
	ids []string
}

const worldParts = 3

func newWorld(seed uint64, rules *Rules, without mutation) *world {
	return &world{
		Rand: rand.New(rand.NewPCG(seed, 7)), rules: rules, without: without, clock: noon,
		log: make([][]record.Command, worldParts), commits: make([][]*commitment, worldParts), owners: make([]*owner, worldParts),
		profiles: map[string]stored{}, identities: map[record.Identifier]identity{}, seen: map[record.ID]bool{},
		former: map[record.Identifier][]string{}, dropped: map[string]bool{}, index: newIndex(),
	}
}

func partOf(profile string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(profile))
	return int(h.Sum32() % worldParts)
}

func derive(c Claim) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", c.Kind, c.Value, c.Gen))
	return "p" + hex.EncodeToString(sum[:4])
}

func (w *world) derive(c Claim) string {
	if w.without == noGeneration {
		c.Gen = 0
	}
	return derive(c)
}

func (w *world) dies() bool { return w.Float64() < w.faults }

func (w *world) tick() time.Time {
	w.clock = w.clock.Add(time.Second)
	return w.clock
}

// step has one partition do something.
func (w *world) step() {
	if len(w.stalled) > 0 && w.IntN(3) == 0 {
		i := w.IntN(len(w.stalled))
		effect := w.stalled[i]
		w.stalled = append(w.stalled[:i:i], w.stalled[i+1:]...)
		effect()
		return
	}
	if len(w.zombies) > 0 && w.IntN(4) == 0 {
		z := w.zombies[0]
		w.zombies = w.zombies[1:]
		switch {
		case z.c == w.lastOf(z.part): // nobody has taken it over yet
			w.owners[z.part] = &z.owner
		case z.at < len(w.log[z.part]):
			known := w.seen
			w.seen, w.inside = z.seen, true
			c := w.fold(z.part, &z.owner)
			w.seen, w.inside = known, false
			if w.without == noFencing {
				w.commits[z.part] = append(w.commits[z.part], c)
				w.finish(z.part, c)
			} // else its commit is refused; the keys that it took stay taken
		}
		return
	}
	w.work(w.IntN(worldParts))
}

// die has the owner of a partition die, or stall and be taken for dead.
func (w *world) die(p int) {
	if o := w.owners[p]; o != nil && w.IntN(3) == 0 {
		w.zombies = append(w.zombies, zombie{*o, p, maps.Clone(w.seen)})
	}
	w.owners[p] = nil
}

// work takes a partition over, or folds the next commands of its log.
func (w *world) work(p int) {
	o := w.owners[p]
	if o == nil {
		w.takeOver(p)
		return
	}
	if o.at == len(w.log[p]) {
		return
	}
	if last := w.lastOf(p); w.without != noFencing && o.c != last {
		w.owners[p] = nil // refused: it is not the owner
		return
	}
	c := w.fold(p, o)
	refused := w.owners[p] != o || w.without != noFencing && o.c != w.lastOf(p)
	if w.dies() || refused { // before the commit: what it took of keys stays taken
		for _, id := range c.seen {
			delete(w.seen, id)
		}
		w.die(p)
		return
	}
	w.commits[p] = append(w.commits[p], c)
	for _, id := range c.dropped {
		w.dropped[id] = true
	}
	w.erasures = append(w.erasures, c.erasures...)
	o.c, o.at = c.id.C, c.to
	w.finish(p, c)
}

func (w *world) lastOf(p int) uint64 { return uint64(len(w.commits[p])) }

// finish does the effects of a commit; its owner may die or stall in between.
func (w *world) finish(p int, c *commitment) {
	effects := w.effects(c)
	if w.without == noOrder {
		w.Shuffle(len(effects), func(i, j int) { effects[i], effects[j] = effects[j], effects[i] })
	}
	for i, effect := range effects {
		if w.dies() {
			w.owners[p] = nil
			if w.IntN(2) == 0 {
				w.stalled = append(w.stalled, effects[i:]...)
			}
			return
		}
		effect()
	}
}

// takeOver repeats the effects of all commits and reads on after the last.
func (w *world) takeOver(p int) {
	o := &owner{}
	for _, c := range w.commits[p] {
		o.c, o.at = c.id.C, c.to
	}
	if w.without != noRepeat {
		for _, c := range w.commits[p] {
			for _, effect := range w.effects(c) {
				if w.dies() {
					return
				}
				effect()
			}
		}
	}
	w.owners[p] = o
}

// effects are those of a commit, each of which may be repeated.
func (w *world) effects(c *commitment) []func() {
	var list []func()
	for _, command := range c.commands {
		list = append(list, func() { w.send(command) })
	}
	list = append(list, func() { w.index.read(c) })
	for _, profile := range slices.Sorted(maps.Keys(c.documents)) {
		text := c.documents[profile]
		list = append(list, func() {
			if old, there := w.profiles[profile]; !there || old.c < c.id.C || w.without == noCompare {
				w.profiles[profile] = stored{text, c.id.C}
			}
		})
	}
	for _, m := range c.moves {
		list = append(list, func() {
			now := w.identities[m.id]
			if now.by != m.from && w.without != noCompareKeys {
				return
			}
			w.put(m.id, identity{holder: m.to, gen: now.gen + map[bool]uint64{true: 1}[m.erased], by: m.by})
		})
	}
	return list
}

func (w *world) put(id record.Identifier, next identity) {
	now := w.identities[id]
	if now.holder != "" {
		w.former[id] = append(w.former[id], now.holder)
	}
	next.revision = now.revision + 1
	w.identities[id] = next
}

// send appends a command to the log of its profile's partition.
func (w *world) send(c record.Command) {
	p := partOf(c.Profile)
	w.log[p] = append(w.log[p], c)
}

// fold folds one to three commands of a partition's log into a commit.
func (w *world) fold(p int, o *owner) *commitment {
	c := &commitment{id: record.CommitID{Partition: p + 1, C: w.lastOf(p) + 1}, to: o.at, documents: map[string]string{}}
	held := map[record.Identifier]identity{}
	for range 1 + w.IntN(3) {
		if c.to == len(w.log[p]) {
			break
		}
		command := w.log[p][c.to]
		c.to++
		w.foldOne(c, command, held)
	}
	return c
}

func (w *world) foldOne(c *commitment, command record.Command, held map[record.Identifier]identity) {
	doc := w.document(c, command.Profile)
	var f Fold
	f.Begin(Input{Rules: w.rules, Command: &command, Doc: doc, Derive: w.derive})
	known := w.seen[command.ID] && w.without != noDedup
	var r *Result
	if known {
		r = f.Repeated()
	} else {
		d := w.route(c, &f, &command, held)
		if d.Forward != "" && w.without == seenWhereForwarded {
			w.reserve(c, command.ID)
		}
		if d.Forward == "" && w.seen[command.ID] && w.without != noDedup { // meanwhile
			r = f.Repeated()
		} else {
			c.erasing(&command, doc)
			r = f.Apply(d)
		}
		if r.Dead != "" {
			panic(r.Dead)
		}
		if r.Applied {
			w.reserve(c, command.ID)
		}
	}
	w.mutate(&command, r)
	if w.trace != nil {
		w.trace(c, &command, f.Claims, r, known)
	}
	if r.Changed {
		r.Doc.C = c.id.C
		c.documents[command.Profile] = string(r.Doc.AppendJSON(nil))
	}
	for _, m := range r.Moves {
		id := f.Claims[m.Claim].Identifier
		now := held[id]
		c.moves = append(c.moves, move{id: id, to: m.To, erased: m.To == "", from: now.by, by: c.id})
		next := identity{holder: m.To, gen: now.gen, by: c.id}
		if m.To == "" {
			next.gen++
		}
		held[id] = next
	}
	for _, sent := range r.Commands {
		if sent.ID == (record.ID{}) {
			sent.ID = record.DerivedID(c.id.Partition, c.id.C, len(c.commands))
		}
		c.commands = append(c.commands, sent)
	}
	c.told = append(append(c.told, r.Events...), r.Changes...)
}

// reserve notes an id as seen, unless the commit comes to nothing.
func (w *world) reserve(c *commitment, id record.ID) {
	w.seen[id] = true
	c.seen = append(c.seen, id)
}

// document is a profile's, as the commit has it by now, or as it is stored.
func (w *world) document(c *commitment, profile string) *record.Document {
	text, ok := c.documents[profile]
	if !ok {
		// The owner has what its partition's commits say, whatever of it is stored.
		for _, before := range w.commits[partOf(profile)] {
			if t, changed := before.documents[profile]; changed {
				text, ok = t, true
			}
		}
	}
	if !ok {
		return nil
	}
	doc, err := record.ParseDocument([]byte(text))
	if err != nil {
		panic(err)
	}
	return doc
}

// route resolves identifiers, and takes those that nobody holds at once.
func (w *world) route(c *commitment, f *Fold, command *record.Command, held map[record.Identifier]identity) Decision {
	hold := func() {
		claims := make([]Claim, 0, 4)
		for _, id := range f.Wants() {
			if _, ok := held[id]; !ok {
				held[id] = w.identities[id]
			}
			claims = append(claims, Claim{Identifier: id, Holder: held[id].holder, Gen: held[id].gen})
		}
		f.Resolve(claims)
	}
	hold()
	if !w.inside && w.IntN(5) == 0 { // another partition is quicker
		w.inside = true
		other := (partOf(command.Profile) + 1 + w.IntN(worldParts-1)) % worldParts
		w.work(other)
		w.inside = false
	}
	if user, suspects := f.Suspects(); len(suspects) > 0 {
		for _, i := range suspects {
			if at, ok := w.profiles[f.Claims[i].Holder]; ok {
				doc, err := record.ParseDocument([]byte(at.text))
				if err != nil {
					panic(err)
				}
				f.Claims[i].Foreign = IsForeign(doc, user)
			}
		}
	}
	for {
		d := f.Route()
		if d.Forward != "" || len(d.Take) == 0 {
			return d
		}
		again := false
		for _, i := range d.Take {
			claim := &f.Claims[i]
			id := claim.Identifier
			if claim.Holder != "" {
				continue
			}
			now := w.identities[id]
			if now.revision != held[id].revision && w.without != noCreate {
				for j := range f.Claims {
					delete(held, f.Claims[j].Identifier)
				}
				again = true
				break
			}
			w.put(id, identity{holder: command.Profile, gen: now.gen, by: c.id})
			held[id] = w.identities[id]
			claim.Holder = command.Profile
		}
		if again {
			hold()
			continue
		}
		for _, i := range d.Take {
			claim := &f.Claims[i]
			if claim.Holder == command.Profile {
				continue
			}
			now := held[claim.Identifier]
			c.moves = append(c.moves, move{id: claim.Identifier, to: command.Profile, from: now.by, by: c.id})
			held[claim.Identifier] = identity{holder: command.Profile, gen: now.gen, by: c.id, revision: now.revision}
			claim.From, claim.Holder = claim.Holder, command.Profile
		}
		return d
	}
}

// erasing notes what goes with a profile that is erased, and with one that is
// absorbed by what was erased; what comes too late is dropped.
func (c *commitment) erasing(command *record.Command, doc *record.Document) {
	gone := func(d *record.Document) {
		if d == nil || d.State != record.StateLive {
			return
		}
		c.dropped = append(c.dropped, eventsOf(d)...)
	}
	tomb := doc != nil && doc.State == record.StateErased
	switch {
	case command.Kind == record.KindErase && doc != nil && doc.State == record.StateLive:
		gone(doc)
		c.erasures = append(c.erasures, erasure{at: command.Received, ids: doc.Profile.IDs})
	case command.Kind == record.KindAbsorb && tomb:
		if a, err := parseAbsorption(command.Body); err == nil {
			gone(a.doc)
		}
	case command.Kind == record.KindEvent && tomb && !command.Received.After(doc.ErasedAt):
		c.dropped = append(c.dropped, command.Event.ID)
	}
}

// eventsOf lists the events that a profile's rules have kept.
func eventsOf(doc *record.Document) []string {
	list, _ := doc.Profile.Data["events"].([]any)
	out := make([]string, len(list))
	for i, e := range list {
		out[i], _ = e.(string)
	}
	return out
}
