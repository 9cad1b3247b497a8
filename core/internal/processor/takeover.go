package processor

import (
	"context"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// takeOver makes the partition ready to read on where its last commit ended:
// it repeats the effects of the commits that are still kept, because whoever
// made them may have died before they were complete.
func (p *partition) takeOver(ctx context.Context) error {
	if !p.node.sole {
		if err := p.node.catchUpSeen(ctx); err != nil {
			return err
		}
	}
	var commits []*record.Commit
	err := p.node.bus.Commits(ctx, p.number, func(data []byte, seq uint64) error {
		c, err := record.ParseCommit(data)
		if err != nil {
			return fmt.Errorf("commit at sequence %d: %w", seq, err)
		}
		commits = append(commits, c)
		p.commitSeq = seq
		return nil
	})
	if err != nil {
		return fmt.Errorf("read commits: %w", err)
	}
	if len(commits) == 0 {
		p.sealed = true
		// From here on this node knows how far the partition is: what the bus
		// has of its first commit may not be durable yet.
		p.node.progress(p)
		return p.configure(ctx, 1)
	}
	last := commits[len(commits)-1]
	p.c, p.position = last.C, last.To
	p.sealed = len(commits) == 1 && empty(last)
	if err := p.configure(ctx, max(last.Revision, 1)); err != nil {
		return err
	}
	after, err := p.eventsAfter(ctx, last)
	if err != nil {
		return err
	}
	if err := p.node.repeat(ctx, commits, after); err != nil {
		return fmt.Errorf("repeat effects: %w", err)
	}
	p.node.progress(p)
	return nil
}

// empty tells whether a commit has no effects.
func empty(c *record.Commit) bool {
	return len(c.Events)+len(c.Commands)+len(c.Documents)+len(c.Holders)+len(c.Seen)+len(c.Replies) == 0
}

// eventsAfter is the place in the partition's events after which those of the
// commits have to be published again. Events of commits older than EVENTS
// keeps anything are not: they have been there, and are gone by age.
func (p *partition) eventsAfter(ctx context.Context, last *record.Commit) (bus.Mark, error) {
	c, n, err := p.node.bus.LastEvent(ctx, p.number)
	if err != nil {
		return bus.Mark{}, fmt.Errorf("read the last event: %w", err)
	}
	after := bus.Mark{C: c, N: n}
	if age := p.node.now().Sub(last.At); c == 0 && age > p.node.options.EventsMaxAge-time.Hour {
		after.C = last.C + 1
	}
	return after, nil
}
