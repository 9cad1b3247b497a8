package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/fold"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// A partition is one part of the log and the profiles that belong to it, while
// this node owns it. One goroutine works on it.
type partition struct {
	node   *Processor
	number int

	c         uint64 // of the last commit
	commitSeq uint64 // its sequence in COMMITS
	position  record.Position
	rules     *fold.Rules // nil until the log or the last commit names a revision
	sealed    bool        // the last commit has no effects that take-over would repeat

	arrivals  arrivals
	documents *cache[*entry]
	folding   fold.Fold
	document  []byte // room for one document
	agenda    *agenda
}

const (
	// documentBudget bounds what the partitions of a node keep of profiles, in
	// bytes of their encoded form; decoded they take about six times as much.
	documentBudget = 8 << 20
	// readBytes is how much of the log is read ahead at most.
	readBytes = 1 << 20
)

func newPartition(n *Processor, number int) *partition {
	share := n.bus.Partitions()
	return &partition{
		node: n, number: number,
		documents: newCache(documentBudget/share, func(e *entry) int { return e.size + 256 }),
		agenda:    newAgenda(),
	}
}

// run owns the partition until ctx ends or another owner is found out, which
// is bus.ErrNotOwner. What it has begun it finishes.
func (p *partition) run(ctx context.Context) error {
	if err := p.takeOver(ctx); err != nil {
		return fmt.Errorf("take over partition %d: %w", p.number, err)
	}
	defer p.attendToDue(ctx)()
	reader, err := p.node.bus.ReadIngest(ctx, p.number, p.readFrom())
	if err != nil {
		return fmt.Errorf("read partition %d: %w", p.number, err)
	}
	defer reader.Close()
	for {
		messages, err := p.next(ctx, reader)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return p.seal(ctx)
		}
		if err := p.work(ctx, reader, messages); err != nil {
			return fmt.Errorf("partition %d: %w", p.number, err)
		}
	}
}

// work processes messages, at once where somebody waits for one of them. Else
// it gives way to the gateway while that is busy, and what came meanwhile, or is
// there already, is done along with them: a commit costs much more than one command more.
func (p *partition) work(ctx context.Context, reader *bus.IngestReader, messages []bus.IngestMessage) error {
	if awaited(messages) {
		return p.processAll(ctx, messages, nil)
	}
	p.arrivals.add(len(messages), time.Now())
	more := func(messages []bus.IngestMessage) ([]bus.IngestMessage, error) {
		had := len(messages)
		messages, err := reader.More(ctx, messages, readBytes)
		p.arrivals.add(len(messages)-had, time.Now())
		if ctx.Err() != nil {
			err = nil // told to stop: what was read is read again at the next start
		}
		return messages, err
	}
	p.node.bus.Unhurried(ctx)
	quiet := !p.node.bus.Busy() && p.arrivals.within(gatherFor, time.Now()) < worthGathering
	if quiet || !p.node.bus.Scarce() {
		return p.processAll(ctx, messages, more)
	}
	pause(ctx, gatherFor)
	return p.node.bus.Background(ctx, func() error { return p.processAll(ctx, messages, more) })
}

const (
	// gatherFor is how long a portion of work waits to become larger while the CPU
	// is scarce.
	gatherFor = 50 * time.Millisecond
	// worthGathering is how many messages have to be expected meanwhile; for fewer
	// whoever listens is not made to wait.
	worthGathering = 4
)

// processAll commits what the messages hold, and what more adds to them, batch by batch, until ctx ends. A
// batch that is begun is finished.
//
// Few partitions work at a time: more would only hold more memory.
func (p *partition) processAll(ctx context.Context, messages []bus.IngestMessage, more func([]bus.IngestMessage) ([]bus.IngestMessage, error)) error {
	p.node.slots <- struct{}{}
	defer func() { <-p.node.slots }()
	if more != nil {
		var err error
		if messages, err = more(messages); err != nil {
			return err
		}
	}
	items, err := p.items(ctx, messages)
	if err != nil {
		return err
	}
	finish, cancel := lasting(ctx)
	defer cancel()
	for len(items) > 0 && ctx.Err() == nil {
		done, err := p.process(finish, items)
		if err != nil {
			return err
		}
		items = items[done:]
	}
	return nil
}

// awaited tells whether somebody waits for the outcome of a command.
func awaited(messages []bus.IngestMessage) bool {
	for i := range messages {
		if record.Awaited(messages[i].Data) {
			return true
		}
	}
	return false
}

// grace is how long a stop waits for what is begun.
const grace = 3 * time.Second

// lasting returns a context that outlives ctx, by the grace.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// next waits for what comes next in the log. While nothing comes, it seals the
// partition: a commit without effects, so that a later start has none to
// repeat.
func (p *partition) next(ctx context.Context, reader *bus.IngestReader) ([]bus.IngestMessage, error) {
	for {
		wait := ctx
		cancel := context.CancelFunc(func() {})
		if !p.sealed {
			wait, cancel = context.WithTimeout(ctx, sealAfter)
		}
		messages, err := reader.Next(wait, readBytes)
		cancel()
		if ctx.Err() != nil {
			return nil, nil //nolint:nilerr // told to stop, which is no failure
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			return messages, err
		}
		if err := p.seal(ctx); err != nil {
			return nil, err
		}
	}
}

// sealAfter is how long nothing must have come before a partition is sealed:
// longer than a checkpoint is apart from the next.
const sealAfter = 2 * checkpointEvery

// readFrom is the sequence after which the log has to be read.
func (p *partition) readFrom() uint64 {
	if p.position.Seq > 0 && p.position.Done != record.AllDone {
		return p.position.Seq - 1
	}
	return p.position.Seq
}

// items decodes messages into commands, those of the first one that are not
// done yet. What cannot be decoded is kept as a dead letter; an item without a
// command stands for it.
func (p *partition) items(ctx context.Context, messages []bus.IngestMessage) ([]item, error) {
	var items []item
	for _, m := range messages {
		commands, err := record.ParseCommands(m.Data)
		if err != nil {
			if err := p.node.deadMessage(ctx, p.number, m, err); err != nil {
				return nil, err
			}
			items = append(items, item{seq: m.Seq, done: record.AllDone})
			continue
		}
		for i := range commands {
			it := item{Command: commands[i], seq: m.Seq, done: uint32(i + 1)}
			if i == len(commands)-1 {
				it.done = record.AllDone
			}
			if m.Seq == p.position.Seq && uint32(i) < p.position.Done {
				continue
			}
			if it.Event != nil && it.Hops == 0 {
				it.claims, it.keys = p.node.claims(fold.EventIdentifiers(it.Event))
				p.enrich(it.Event)
			}
			items = append(items, it)
		}
	}
	return items, nil
}

// process commits the first of the items, as many as fit into one batch, and
// completes the commit's effects. It returns how many that were.
func (p *partition) process(ctx context.Context, items []item) (int, error) {
	b, n, err := p.fold(ctx, items)
	var poison *poisonError
	if errors.As(err, &poison) {
		// The batch is spoilt: do again what came before, then set the
		// command aside.
		p.abandon(b)
		if n > 0 {
			return p.process(ctx, items[:n])
		}
		return p.setAside(ctx, poison.item, poison.Error())
	}
	if err != nil {
		p.abandon(b)
		return 0, err
	}
	err = p.commit(ctx, b)
	if err == nil {
		p.tellDone(items[:n])
		return n, nil
	}
	p.abandon(b)
	if b.made || !errors.Is(err, bus.ErrTooLarge) && !errors.Is(err, errTooLarge) {
		return 0, err
	}
	if n > 1 {
		return p.process(ctx, items[:n/2])
	}
	// One command alone makes more than can be stored.
	return p.setAside(ctx, &items[0], err.Error())
}

// setAside makes a command a dead letter and commits that it is done with.
func (p *partition) setAside(ctx context.Context, it *item, reason string) (int, error) {
	if err := p.node.deadLetter(ctx, it, reason); err != nil {
		return 0, err
	}
	b := p.newBatch(ctx)
	b.commit.To = record.Position{Seq: it.seq, Done: it.done}
	if err := p.commit(ctx, b); err != nil {
		p.abandon(b)
		return 0, err
	}
	return 1, nil
}

// prefetchStride is how many items are looked ahead: what is read for them should
// still be in memory when it is their turn.
const prefetchStride = 200

// fold takes items into a batch until it is full.
func (p *partition) fold(ctx context.Context, items []item) (*batch, int, error) {
	b := p.newBatch(ctx)
	for i := range items {
		if i%prefetchStride == 0 {
			if err := b.prefetch(items[i:min(len(items), i+prefetchStride)]); err != nil {
				return b, i, err
			}
		}
		if err := b.fold(&items[i]); err != nil {
			return b, i, err
		}
		if b.full(i + 1) {
			return b, i + 1, nil
		}
	}
	return b, len(items), nil
}

// commit makes the batch happen: one message, and then its effects.
func (p *partition) commit(ctx context.Context, b *batch) error {
	if err := b.finish(); err != nil {
		return err
	}
	room := p.node.commits.Get().(*[]byte)
	encoded := record.AppendCommit((*room)[:0], &b.commit)
	seq, err := p.node.bus.Commit(ctx, p.number, encoded, p.commitSeq)
	if err != nil { // it may still be on its way, so its room is not used again
		return fmt.Errorf("commit %d: %w", b.commit.C, err)
	}
	*room = encoded
	p.node.commits.Put(room)
	b.made = true
	p.c, p.commitSeq, p.position, p.sealed = b.commit.C, seq, b.commit.To, false
	p.node.reached(p)
	p.node.step(StepCommit)
	for _, profile := range b.order {
		p.documents.put(profile, b.touched[profile])
		p.agenda.put(profile, b.touched[profile].doc.Due)
	}
	if err := p.effects(ctx, b); err != nil {
		return fmt.Errorf("effects of commit %d: %w", b.commit.C, err)
	}
	p.node.metrics.commits.Inc()
	p.node.metrics.commands.Add(b.commands)
	p.node.progress(p)
	return nil
}

// abandon drops what a batch that did not come to its end left behind. The ids
// of one that was committed stay reserved: its effects are repeated.
func (p *partition) abandon(b *batch) {
	if !b.made {
		p.node.seen.Release(b.commit.Seen)
	}
	p.documents.clear()
	p.node.holdings.clear()
}

// seal commits nothing.
func (p *partition) seal(ctx context.Context) error {
	if p.sealed {
		return nil
	}
	ctx, cancel := lasting(ctx)
	defer cancel()
	b := p.newBatch(ctx)
	if err := p.commit(ctx, b); err != nil {
		return fmt.Errorf("seal partition %d: %w", p.number, err)
	}
	p.sealed = true
	return nil
}
