package processor

import (
	"context"
	"sync"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// What changes by time alone is done by commands like everything else. A document says
// when something is due at its profile; the owner of the partition keeps that in an
// agenda, filled by what it commits and, after a take-over, by what the documents say,
// and sends a command when the time has come. Whoever is the owner no more may send one
// too many: it does nothing.

const (
	// dueEvery is how often the agendas are looked at.
	dueEvery = 500 * time.Millisecond
	// dueMost is how many commands of a partition are in the log because they were
	// due: the next are sent when these are done, so that however many profiles are due
	// at once, an event waits for few of them.
	dueMost = 256
	// scanPortion documents are looked through at a time at a take-over, with a pause
	// behind them: that is in nobody's way.
	scanPortion = 500
	scanPause   = 5 * time.Millisecond
)

// attendToDue begins to keep the partition's agenda, and returns what ends it.
func (p *partition) attendToDue(ctx context.Context) (end func()) {
	p.node.agendas[p.number].Store(p.agenda)
	ctx, cancel := context.WithCancel(ctx)
	var finding sync.WaitGroup
	finding.Go(func() { p.findDue(ctx) })
	return func() {
		p.node.agendas[p.number].Store(nil)
		cancel()
		finding.Wait()
	}
}

// findDue fills the agenda by what the documents say, one partition at a time, and
// again where that fails.
func (p *partition) findDue(ctx context.Context) {
	select {
	case p.node.scanning <- struct{}{}:
		defer func() { <-p.node.scanning }()
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		n := 0
		err := p.node.bus.DocumentsOf(ctx, p.number, func(d bus.StoredDocument) error {
			if n++; n%scanPortion == 0 {
				pause(ctx, scanPause)
			}
			if !d.Deleted {
				p.agenda.find(d.Profile, record.DueOf(d.Data))
			}
			return nil
		})
		if err == nil || ctx.Err() != nil {
			return
		}
		p.node.log.Warn("cannot tell what is due at the profiles of a partition; looking again", "partition", p.number, "after", lastRetry, "error", err)
		pause(ctx, lastRetry)
	}
}

// tellDone notes which of the commands that were sent because they were due are done.
func (p *partition) tellDone(items []item) {
	n := 0
	for i := range items {
		if items[i].Kind == record.KindDue {
			n++
		}
	}
	if n == 0 {
		return
	}
	p.agenda.done(n)
	select {
	case p.node.room <- struct{}{}:
	default:
	}
}

// sendDue sends the commands that are due until ctx ends.
func (n *Processor) sendDue(ctx context.Context) error {
	tick := time.NewTicker(dueEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-n.room:
		}
		if n.bus.IngestCrowded() {
			continue // the room that is left is for what events cause
		}
		if commands, back := n.due(); len(commands) > 0 {
			err := n.bus.Background(ctx, func() error { return n.bus.PublishCommands(ctx, commands) })
			if err != nil {
				back()
			}
			if err != nil && ctx.Err() == nil {
				n.log.Warn("what is due is not sent; it is tried again", "error", err)
			}
		}
	}
}

// due takes what is due out of the agendas: a message for each partition. back puts it
// there again.
func (n *Processor) due() (commands []record.Routed, back func()) {
	type taken struct {
		agenda   *agenda
		profiles []string
	}
	var all []taken
	now := n.now()
	for number := range n.agendas {
		a := n.agendas[number].Load()
		if a == nil {
			continue
		}
		profiles := a.take(now.UnixMilli())
		if len(profiles) == 0 {
			continue
		}
		all = append(all, taken{a, profiles})
		var message []byte
		for _, profile := range profiles {
			message = record.AppendCommand(message, &record.Command{
				Kind: record.KindDue, ID: record.DueID(profile, now), Profile: profile, Received: now,
			})
		}
		commands = append(commands, record.Routed{Partition: number, Command: message})
	}
	return commands, func() {
		for _, t := range all {
			for _, profile := range t.profiles {
				t.agenda.find(profile, now.UnixMilli())
			}
			t.agenda.done(len(t.profiles))
		}
	}
}
