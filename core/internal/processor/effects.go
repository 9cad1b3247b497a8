package processor

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// effects completes a commit that was made just now. Each effect may be
// repeated without harm; all are done before the partition's next commit.
func (p *partition) effects(ctx context.Context, b *batch) error {
	c := &b.commit
	group, ctx := errgroup.WithContext(ctx)
	if len(c.Commands) > 0 {
		// They may have to wait for room in the log, which comes from what the
		// other partitions do.
		<-p.node.slots
		defer func() { p.node.slots <- struct{}{} }()
		p.effect(group, StepCommands, func() error { return p.node.bus.PublishCommands(ctx, c.Commands) })
	}
	if len(c.Events) > 0 {
		p.effect(group, StepEvents, func() error { return p.node.bus.PublishEvents(ctx, eventMessages(c, bus.Mark{})) })
	}
	if len(c.Documents) > 0 {
		p.effect(group, StepDocuments, func() error { return p.putDocuments(ctx, b) })
	}
	if len(c.Seen) > 0 {
		p.effect(group, StepSeen, func() error { return p.node.bus.PublishSeen(ctx, p.number, c.Seen) })
	}
	for _, h := range b.moves {
		if err := p.node.moveIdentity(ctx, h); err != nil {
			return errors.Join(err, group.Wait())
		}
		p.node.step(StepMove)
	}
	for _, key := range b.renew {
		if err := p.node.renewIdentity(ctx, key, b.held[key].Identity); err != nil {
			return errors.Join(err, group.Wait())
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	// Last, since whoever is told "duplicate" expects to see what the event did.
	if err := p.node.seen.Record(c.Seen); err != nil {
		return fmt.Errorf("record events as seen: %w", err)
	}
	p.node.step(StepKnown)
	for _, h := range b.created {
		p.node.learn(bus.IdentityKey(h.Key), h.Identity.Profile)
	}
	err := p.node.answer(c)
	p.node.step(StepAnswer)
	return err
}

// effect does one effect beside the others.
func (p *partition) effect(group *errgroup.Group, step Step, do func() error) {
	group.Go(func() error {
		err := do()
		if err == nil {
			p.node.step(step)
		}
		return err
	})
}

// eventMessages are the events of a commit that come after a place.
func eventMessages(c *record.Commit, after bus.Mark) []bus.EventMessage {
	messages := make([]bus.EventMessage, 0, len(c.Events))
	for i, e := range c.Events {
		if n := i + 1; c.C > after.C || c.C == after.C && n > after.N {
			messages = append(messages, bus.EventMessage{
				Partition: c.Partition, C: c.C, N: n, Type: e.Type, Data: e.Data, Hops: e.Hops, Reply: e.Reply,
			})
		}
	}
	return messages
}

// putDocuments writes the documents of the batch over those it started from. A
// document that another owner has written meanwhile is written only where it
// is older.
func (p *partition) putDocuments(ctx context.Context, b *batch) error {
	puts := make([]bus.DocumentPut, len(b.order))
	for i, profile := range b.order {
		puts[i] = bus.DocumentPut{Profile: profile, Data: b.commit.Documents[i].Document, Expect: b.touched[profile].revision}
	}
	results, err := p.node.bus.PutDocuments(ctx, puts)
	if err != nil {
		return fmt.Errorf("write profiles: %w", err)
	}
	for i, r := range results {
		e := b.touched[b.order[i]]
		if !r.Conflict {
			e.revision = r.Revision
			continue
		}
		if e.revision, err = p.node.overwrite(ctx, b.commit.Documents[i], b.commit.C); err != nil {
			return err
		}
	}
	return nil
}

// overwrite writes a document over an older one, whatever its revision, and
// leaves a newer one. It returns the revision that then stands.
func (n *Processor) overwrite(ctx context.Context, change record.Change, c uint64) (uint64, error) {
	for {
		e, err := n.readDocument(ctx, change.Profile)
		if err != nil {
			return 0, err
		}
		if e.doc != nil && e.doc.C >= c {
			return e.revision, nil
		}
		results, err := n.bus.PutDocuments(ctx, []bus.DocumentPut{{Profile: change.Profile, Data: change.Document, Expect: e.revision}})
		if err != nil {
			return 0, fmt.Errorf("write profile %s: %w", change.Profile, err)
		}
		if !results[0].Conflict {
			return results[0].Revision, nil
		}
	}
}

// moveIdentity makes a profile the holder of a key, if who held it when the
// commit was made still does so by the same commit. Where that is another one,
// the key has moved on since, or this was done before; but where its revision
// is an older one, a power cut has taken what the commit had seen.
func (n *Processor) moveIdentity(ctx context.Context, h record.Holder) error {
	return n.writeIdentity(ctx, bus.IdentityKey(h.Key), func(current record.Identity, revision uint64) (record.Identity, bool) {
		return h.Identity, current.By == h.From || revision < max(h.Revision, 1)
	})
}

// renewIdentity writes a key again that its profile holds, to be kept as long as held
// says.
func (n *Processor) renewIdentity(ctx context.Context, key bus.IdentityKey, held record.Identity) error {
	return n.writeIdentity(ctx, key, func(current record.Identity, revision uint64) (record.Identity, bool) {
		current.TTL = held.TTL
		return current, revision > 0 && current.Profile == held.Profile
	})
}

// writeIdentity writes what next makes of a key's value, if it wants it written;
// the revision is 0 where there is no value.
func (n *Processor) writeIdentity(ctx context.Context, key bus.IdentityKey, next func(current record.Identity, revision uint64) (record.Identity, bool)) error {
	for {
		current, revision, err := n.bus.GetIdentity(ctx, key)
		if err != nil && !errors.Is(err, bus.ErrNotFound) {
			return fmt.Errorf("read identity: %w", err)
		}
		id, wanted := next(current, revision)
		if !wanted {
			n.holdings.drop(key)
			n.learn(key, current.Profile)
			return nil
		}
		revision, err = n.bus.UpdateIdentity(ctx, key, id, revision)
		if err == nil {
			n.holdings.wrote(key, holding{Identity: id, revision: revision, renewed: n.now()})
			n.learn(key, id.Profile)
			return nil
		}
		if !errors.Is(err, bus.ErrConflict) {
			return fmt.Errorf("move identity: %w", err)
		}
	}
}

// repeat does the effects of commits that an earlier owner may not have
// completed; commits are in order, events of them after the given place are
// published.
func (n *Processor) repeat(ctx context.Context, commits []*record.Commit, after bus.Mark) error {
	latest := map[string]int{}
	for i, c := range commits {
		for _, d := range c.Documents {
			latest[d.Profile] = i
		}
	}
	for i, c := range commits {
		if err := n.bus.PublishCommands(ctx, c.Commands); err != nil {
			return err
		}
		if err := n.bus.PublishEvents(ctx, eventMessages(c, after)); err != nil {
			return err
		}
		for _, d := range c.Documents {
			if latest[d.Profile] != i {
				continue
			}
			if _, err := n.overwrite(ctx, d, c.C); err != nil {
				return err
			}
		}
		for _, h := range c.Holders {
			if err := n.moveIdentity(ctx, h); err != nil {
				return err
			}
		}
		if err := n.seen.Record(c.Seen); err != nil {
			return fmt.Errorf("record events as seen: %w", err)
		}
		if len(c.Seen) > 0 {
			if err := n.bus.PublishSeen(ctx, c.Partition, c.Seen); err != nil {
				return err
			}
		}
		if err := n.answer(c); err != nil {
			return err
		}
	}
	return nil
}

// answer tells those who wait what became of their events.
func (n *Processor) answer(c *record.Commit) error {
	for _, r := range c.Replies {
		if err := n.bus.Respond(r.Subject, r.Data); err != nil {
			return fmt.Errorf("answer a waiting caller: %w", err)
		}
	}
	return nil
}
