// Package processor keeps one profile per person: it reads the commands of the
// log in order, folds each into the profile it is about, and commits.
//
// A partition has one owner at a time, and its commits are its write-ahead
// log: a batch of commands happens with the one message that the owner
// publishes on condition that the commit before it is the partition's last.
// Whoever is refused is not the owner. Everything else that a batch does is an
// effect of its commit, and repeated by the next owner where it may be missing.
package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/enrich"
	"github.com/tributary-bus/tributary/core/internal/processor/seen"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// Options are what a Processor works with.
type Options struct {
	Bus *bus.Bus
	// Resources tells the configuration as of a revision.
	Resources Resources
	// Dir is where the set of event ids seen lives.
	Dir string
	// Sole is true where no other node can own a partition.
	Sole bool
	// EventsMaxAge is how long the bus keeps events.
	EventsMaxAge time.Duration
	// Enrich adds to events what can be told from them, before they are folded;
	// nil: nobody does.
	Enrich *enrich.Enricher
	// Learn is told who holds an identity key since a commit, for caches; it
	// must not block. It may be nil.
	Learn func(key bus.IdentityKey, profile string)
	Log   *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Reached is told of every step of a commit when it is done, so that a test can
	// stop the process there; nil: nobody is.
	Reached func(Step)
}

// A Step is a part of what a commit does.
type Step string

// The steps, in about their order: effects are done side by side.
const (
	StepKey       Step = "a key was taken"
	StepCommit    Step = "the commit was made"
	StepCommands  Step = "commands were sent"
	StepEvents    Step = "events were sent"
	StepDocuments Step = "documents were written"
	StepMove      Step = "a key was moved"
	StepSeen      Step = "ids were recorded"
	StepKnown     Step = "ids are known here"
	StepAnswer    Step = "callers were answered"
)

// step says that a step is done.
func (n *Processor) step(s Step) {
	if n.options.Reached != nil {
		n.options.Reached(s)
	}
}

// Resources gives the configuration as of a revision, and waits for it where
// this node does not know it yet.
type Resources interface {
	At(ctx context.Context, revision uint64) (*config.Set, error)
}

// window is how long an event's id is known at least.
const window = 24 * time.Hour

// A Processor owns partitions of the log and folds what they hold.
type Processor struct {
	options Options
	bus     *bus.Bus
	seen    *seen.Set
	sole    bool
	log     *slog.Logger
	metrics *counters
	hash    func(text string) string // of fields that are stored hashed

	holdings *holdings
	slots    chan struct{}            // held by partitions at work
	commits  sync.Pool                // room for encoded commits
	owning   []sync.Mutex             // by partition: held while it is worked on
	agendas  []atomic.Pointer[agenda] // by partition: nil while it is not owned
	scanning chan struct{}            // held while the documents of a partition are looked through
	room     chan struct{}            // told when what was sent because it was due is done
	mu       sync.Mutex
	standing []standing    // by partition
	changed  chan struct{} // closed when another partition is owned than before
	seenSeq  uint64        // how far SEEN has been read
	purged   uint64        // below what INGEST was last purged
}

// A standing is how far a partition has come.
type standing struct {
	owned     bool
	commitSeq uint64 // of the last commit whose effects are complete
	// committed is the position of the last commit, completed that of the last one
	// whose effects are complete.
	committed, completed record.Position
	kept                 uint64 // the commit below which COMMITS was last purged
}

// New opens the set of ids seen and returns a processor that is not running yet.
func New(ctx context.Context, o Options) (*Processor, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	set, err := seen.Open(filepath.Join(o.Dir, "seen"), window, o.Now)
	if err != nil {
		return nil, fmt.Errorf("open the set of event ids seen: %w", err)
	}
	n := &Processor{
		options: o, bus: o.Bus, seen: set, sole: o.Sole, log: o.Log, metrics: newCounters(), hash: o.Bus.Pseudonym,
		holdings: newHoldings(),
		commits:  sync.Pool{New: func() any { return new([]byte) }},
		slots:    make(chan struct{}, max(4, 2*runtime.GOMAXPROCS(0))),
		owning:   make([]sync.Mutex, o.Bus.Partitions()), standing: make([]standing, o.Bus.Partitions()),
		agendas: make([]atomic.Pointer[agenda], o.Bus.Partitions()), scanning: make(chan struct{}, 1), room: make(chan struct{}, 1),
		changed: make(chan struct{}),
	}
	if !set.Intact() {
		err = set.Rebuild(func() error { return n.catchUpSeen(ctx) })
	} else if !o.Sole {
		err = n.catchUpSeen(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return n, nil
}

// Seen tells whether an event's id is recorded as applied, as far as this node
// knows.
func (n *Processor) Seen(id record.ID) (bool, error) { return n.seen.Has(id) }

// Owned tells, by partition, whether this node owns it: it has taken it over and
// commits. The channel is closed when that changes. A node that was stalled may
// still believe to own what another one has taken over meanwhile, until it is
// refused a commit; so what relies on this has to bear two owners for a while.
func (n *Processor) Owned() (owned []bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	owned = make([]bool, len(n.standing))
	for i := range n.standing {
		owned[i] = n.standing[i].owned
	}
	return owned, n.changed
}

// Close closes the set of ids seen; Run must have returned.
func (n *Processor) Close() error { return n.seen.Close() }

// Settle repairs what a power cut or a restored file left behind. Where EVENTS
// has a gap, what stands behind it is taken out, to be published again. Where
// the log ends below what was committed of it, it is moved on, so that no new
// command is mistaken for one that was done; what is left of it keeps its
// place. It is called once, before anything is processed or accepted.
func (n *Processor) Settle(ctx context.Context) error {
	if err := n.mend(ctx); err != nil {
		return err
	}
	end, err := n.bus.IngestLast(ctx)
	if err != nil {
		return fmt.Errorf("read the end of the log: %w", err)
	}
	var furthest uint64
	for number := range n.standing {
		data, _, err := n.bus.LastCommit(ctx, number)
		if err != nil {
			return fmt.Errorf("read the last commit of partition %d: %w", number, err)
		}
		if data == nil {
			continue
		}
		c, err := record.ParseCommit(data)
		if err != nil {
			return fmt.Errorf("last commit of partition %d: %w", number, err)
		}
		furthest = max(furthest, c.To.Seq)
	}
	if furthest <= end {
		return nil
	}
	n.log.Warn("the log ends before what was committed of it; moving it on", "end", end, "committed", furthest)
	if err := n.bus.AdvanceIngest(ctx, furthest); err != nil {
		return fmt.Errorf("move the log on: %w", err)
	}
	return nil
}

// Run owns partitions, all of them where no other node can, until ctx ends; then it finishes the batches that are
// begun and makes a last checkpoint.
func (n *Processor) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	stopping := func() bool { return ctx.Err() != nil }
	group.Go(func() error { return n.checkpoints(ctx) })
	group.Go(func() error { return n.sendDue(ctx) })
	if n.sole {
		for number := range n.standing {
			group.Go(func() error { return n.own(ctx, number, stopping) })
		}
	} else {
		group.Go(func() error { return n.share(ctx, stopping) })
	}
	err := group.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCheckpoint)
	defer cancel()
	if err := n.checkpoint(last); err != nil {
		// What it would have made durable is repeated at the next start.
		n.log.Warn("no checkpoint at the end", "error", err)
	}
	return err
}

// lastCheckpoint is how long the bus may take for it: a stop has ten seconds in
// all, and a checkpoint only spares the next start some work.
const lastCheckpoint = time.Second

// own works on one partition, again after each failure, until ctx ends. How far
// it came stays known where the whole processor is stopping: for its last
// checkpoint.
func (n *Processor) own(ctx context.Context, number int, stopping func() bool) error {
	n.owning[number].Lock()
	defer n.owning[number].Unlock()
	wait := firstRetry
	for ctx.Err() == nil {
		begun := time.Now()
		err := newPartition(n, number).run(ctx)
		if !stopping() {
			n.disown(number)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		if errors.Is(err, bus.ErrNotOwner) {
			n.metrics.refused.Inc()
			n.log.Info("another node has taken a partition over", "partition", number)
		} else {
			n.log.Warn("partition stopped; taking it over again", "partition", number, "after", wait, "error", err)
		}
		if time.Since(begun) > time.Minute {
			wait = firstRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRetry)
	}
	return nil
}

const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// reached notes how far a partition has come: what the log holds below is not
// needed any more, since the commit has it.
func (n *Processor) reached(p *partition) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.owned(p.number)
	s.committed = p.position
}

// progress notes that the effects of a partition's last commit are complete.
func (n *Processor) progress(p *partition) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.owned(p.number)
	s.commitSeq, s.committed, s.completed = p.commitSeq, p.position, p.position
}

func (n *Processor) disown(number int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.standing[number].owned {
		n.ownershipChanged()
	}
	n.standing[number] = standing{}
}

// owned returns the standing of a partition that this node owns; mu is held.
func (n *Processor) owned(number int) *standing {
	s := &n.standing[number]
	if !s.owned {
		s.owned = true
		n.ownershipChanged()
	}
	return s
}

// ownershipChanged wakes who waits to learn of it; mu is held.
func (n *Processor) ownershipChanged() {
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *Processor) at(number int) standing {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.standing[number]
}

// catchUpSeen reads what other nodes, or this one before its set was lost,
// recorded as seen.
func (n *Processor) catchUpSeen(ctx context.Context) error {
	n.mu.Lock()
	after := n.seenSeq
	n.mu.Unlock()
	err := n.bus.ReadSeen(ctx, after, func(seq uint64, _ time.Time, ids []record.ID) error {
		after = seq
		return n.seen.Record(ids)
	})
	if err != nil {
		return fmt.Errorf("read the ids seen: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seenSeq = max(n.seenSeq, after)
	return nil
}

// learn tells the node's caches who holds a key.
func (n *Processor) learn(key bus.IdentityKey, profile string) {
	if n.options.Learn != nil && profile != "" {
		n.options.Learn(key, profile)
	}
}

func (n *Processor) now() time.Time { return n.options.Now().UTC().Truncate(time.Millisecond) }
