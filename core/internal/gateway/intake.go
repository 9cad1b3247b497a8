package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// retryMessage begins what a result says of an event that the bus did not take.
const retryMessage = "not stored; send it again"

// answerWithin is when a request is answered at the latest, taken in or not.
const answerWithin = 900 * time.Millisecond

// intake takes a parsed batch in: after it, every event of the batch is
// accepted (its bus has it for good), duplicate, invalid or to be sent again. The
// waiter is for callers who wait; nil where nobody does.
func (g *Gateway) intake(ctx context.Context, source *config.Source, rules *rules, b *batch, waiter *waiter) *refusal {
	if refused := g.admit(source, b); refused != nil {
		return refused
	}
	return g.take(ctx, source, rules, b, waiter)
}

// admit holds the source to its rate.
func (g *Gateway) admit(source *config.Source, b *batch) *refusal {
	wait := g.rates.admit(source, len(b.events), g.limits.Events, b.received)
	if wait == 0 {
		return nil
	}
	r := refuse(http.StatusTooManyRequests, codeTooMany, fmt.Sprintf("source %s may send %d events in %s", source.ID, source.Rate.Events, source.Rate.Per))
	r.retryAfter = wait
	return r
}

func (g *Gateway) take(ctx context.Context, source *config.Source, rules *rules, b *batch, waiter *waiter) *refusal {
	b.screen(source)
	b.name(source)
	for i := range b.events {
		e := &b.events[i]
		if e.status != accepted {
			continue
		}
		if e.Time.IsZero() {
			e.Time = b.received
		}
		rules.compute(e, b.received)
	}
	b.gather()
	b.identifyProfiles(source, rules)
	b.recognise(source)
	b.findRepeated()
	for i := range b.events {
		e := &b.events[i]
		if e.status != accepted {
			continue
		}
		e.settleWhom()
		g.recall(e)
	}
	if err := g.router.route(ctx, b, rules, source.ID); err != nil {
		return unavailable("the bus does not answer: " + err.Error())
	}
	g.encode(b, waiter)
	if took := g.now().Sub(b.received); took > answerWithin/10 {
		// Looking up took its time, so the bus gets what is left of it.
		left, cancel := context.WithTimeout(ctx, answerWithin-took)
		defer cancel()
		ctx = left
	}
	g.append(ctx, b)
	b.settle()
	b.known = true
	g.metrics.results(source.ID, b)
	return nil
}

// gather gives the events of a request that is about one profile, where they have
// no identifiers, those of the first that has some: whoever decides by them whom
// that one is about decides the same of the others.
func (b *batch) gather() {
	if !b.together {
		return
	}
	var shared []record.Identifier
	for i := range b.events {
		if e := &b.events[i]; e.status == accepted && len(e.IDs) > 0 {
			shared = e.IDs
			break
		}
	}
	for i := range b.events {
		if e := &b.events[i]; e.status == accepted && len(e.IDs) == 0 && !e.ProfileLess {
			e.IDs = append(e.IDs, shared...)
		}
	}
}

// settleWhom makes an event one about nobody where its dialect has it so. Its
// identifiers are known by now.
func (e *event) settleWhom() {
	if e.orNobody && len(e.IDs) == 0 && e.Session == "" && e.Profile == "" {
		e.ProfileLess = true
	}
}

// recall marks an event that was folded before, as far as this node knows.
// Where that cannot be told, the fold finds out.
func (g *Gateway) recall(e *event) {
	if g.options.Seen == nil {
		return
	}
	seen, err := g.options.Seen.Has(e.id)
	if err != nil {
		g.metrics.unsure.Inc()
		return
	}
	if seen {
		e.status = duplicate
	}
}

func (g *Gateway) encode(b *batch, waiter *waiter) {
	command := record.Command{Kind: record.KindEvent, Received: b.received}
	for i := range b.events {
		e := &b.events[i]
		if e.status != accepted {
			continue
		}
		command.ID, command.Profile, command.Event = e.id, e.profile, &e.Event
		if waiter != nil {
			command.Reply, command.Flows = g.waiters.subject(waiter, i), waiter.flows
		}
		b.commit.put(e, &command)
	}
}

// append sends the commands to the bus, and marks the events of those that it
// did not take.
func (g *Gateway) append(ctx context.Context, b *batch) {
	c := &b.commit
	if len(c.partitions) == 0 {
		return
	}
	c.entries = c.entries[:0]
	for i, partition := range c.partitions {
		c.entries = append(c.entries, bus.Entry{Partition: partition, Commands: c.commands[i]})
	}
	// What is refused may still be on its way: its bytes are not used again.
	b.keep = true
	err := g.options.Bus.Append(ctx, c.entries)
	if err == nil {
		b.keep = false
		return
	}
	failed := func(int) error { return err }
	if partly := (*bus.AppendError)(nil); errors.As(err, &partly) {
		failed = func(entry int) error { return partly.Failed[entry] }
	}
	for i := range b.events {
		e := &b.events[i]
		if e.status != accepted {
			continue
		}
		if err := failed(e.entry); err != nil {
			e.status = retry
			e.problem = &problem{code: codeUnavailable, message: retryMessage + ": " + err.Error()}
		}
	}
}

// settle gives an event that repeats another one of the request a fate that is
// no better than that one's.
func (b *batch) settle() {
	for i := range b.events {
		e := &b.events[i]
		if e.first >= 0 && b.events[e.first].status == retry {
			e.status, e.problem = retry, b.events[e.first].problem
		}
	}
}

// await waits for what becomes of the batch's accepted events, up to the stage.
// It is false where that took too long.
func (g *Gateway) await(ctx context.Context, b *batch, w *waiter, until stage) bool {
	ctx, cancel := context.WithTimeout(ctx, g.limits.Wait)
	defer cancel()
	w.want(b)
	complete := w.await(ctx, b)
	for i := range b.events {
		e := &b.events[i]
		if e.outcome == nil {
			continue
		}
		if e.outcome.Status == record.StatusDuplicate {
			e.status = duplicate
		}
		if complete && until == indexed && e.status == accepted {
			complete = g.options.Indexed(ctx, *e.outcome) == nil
		}
	}
	for i := range b.events {
		if e := &b.events[i]; e.first >= 0 {
			e.outcome = b.events[e.first].outcome
		}
	}
	return complete
}
