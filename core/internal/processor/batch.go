package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

const (
	// batchBytes is about how much a commit may hold before it is compressed.
	batchBytes = 4 << 20
	// batchCommands is how many commands a commit may cover.
	batchCommands = 2000
)

// An item is one command of the log and its place there.
type item struct {
	record.Command
	seq    uint64
	done   uint32  // where the position stands when it is done
	claims []claim // an event's identifiers, the strongest first
}

// An entry is a profile as a partition keeps it in memory.
type entry struct {
	doc      *record.Document // nil: nobody has the id yet
	revision uint64           // of the document's key in PROFILES, 0: none
	size     int              // about how many bytes the document takes, encoded
}

// A batch is the commands that one commit covers, on their way through the fold.
type batch struct {
	*partition
	ctx      context.Context
	commit   record.Commit
	touched  map[string]*entry
	order    []string                    // the touched profiles, in order
	held     map[bus.IdentityKey]holding // as the batch has read them and will leave them
	created  []record.Holder
	moves    []record.Holder
	renew    []bus.IdentityKey // of sessions
	weight   int
	commands int
	made     bool // the commit is in the log
}

func (p *partition) newBatch(ctx context.Context) *batch {
	return &batch{
		partition: p, ctx: ctx, touched: map[string]*entry{}, held: map[bus.IdentityKey]holding{},
		commit: record.Commit{Partition: p.number, C: p.c + 1, From: p.position, To: p.position, At: p.node.now()},
	}
}

func (b *batch) id() record.CommitID { return record.CommitID{Partition: b.number, C: b.commit.C} }

// full tells whether the batch should be committed before it takes more.
func (b *batch) full(commands int) bool { return b.weight >= batchBytes || commands >= batchCommands }

// fold takes one command into the batch. A command that makes the fold panic
// is returned as a poisonError; the batch is then of no use.
func (b *batch) fold(it *item) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = &poisonError{item: it, fault: fault}
		}
	}()
	switch it.Kind {
	case record.KindEvent:
		err = b.event(it)
	case record.KindPatch:
		err = b.patch(it)
	case 0: // a message that could not be decoded
	case record.KindConfig:
		if it.Revision > b.rules.set.Revision() {
			err = b.configure(b.ctx, it.Revision)
		}
	default:
		err = b.node.deadLetter(b.ctx, it, "commands of this kind are not processed by this version")
	}
	if err != nil {
		return err
	}
	b.commands++
	b.commit.To = record.Position{Seq: it.seq, Done: it.done}
	return nil
}

// configure makes the partition work by a revision of the configuration.
func (p *partition) configure(ctx context.Context, revision uint64) error {
	set, err := p.node.options.Resources.At(ctx, revision)
	if err != nil {
		return fmt.Errorf("read configuration revision %d: %w", revision, err)
	}
	p.rules = newRules(set)
	return nil
}

func (b *batch) event(it *item) error {
	c := &it.Command
	if c.Hops > record.MaxHops {
		return b.refuse(it, tooManyHops)
	}
	e, err := b.load(c.Profile)
	if err != nil {
		return err
	}
	claims := it.claims
	if err := b.hold(claims); err != nil {
		return err
	}
	known, err := b.node.seen.Has(c.ID)
	if err != nil {
		return fmt.Errorf("look up event %s of %s: %w", c.Event.ID, c.Event.Source, err)
	}
	if known {
		b.repeated(c, profileOf(e))
		return nil
	}
	if err := b.findForeign(c.Profile, claims); err != nil {
		return err
	}
	a := examine(b.rules, e.doc, c)
	if a.event.Valid && c.Profile != "" {
		to := c.Profile
		named := c.Event.Profile != "" && c.Event.Profile == to
		static := c.Event.Static && len(c.Event.IDs) > 0
		d := route(to, e.doc, claims, named, c.Settled, static, b.derive)
		for d.forward == "" {
			switch {
			case c.Event.TransientProfile:
				d.take = nil
			case a.ephemeral:
				d.take = withoutSession(d.take, claims)
			}
			again, err := b.take(c, claims, d)
			if err != nil {
				return err
			}
			if !again {
				break
			}
			d = route(to, e.doc, claims, named, c.Settled, static, b.derive)
		}
		if d.forward != "" {
			b.forward(c, d)
			return nil
		}
	}
	fresh, err := b.reserve(c)
	if err != nil {
		return fmt.Errorf("reserve event %s of %s: %w", c.Event.ID, c.Event.Source, err)
	}
	if !fresh {
		b.repeated(c, profileOf(e))
		return nil
	}
	switch {
	case !a.event.Valid:
		b.node.metrics.invalid.Inc()
	case c.Profile == "":
		a.annotate()
	case c.Event.TransientProfile:
		if err := b.applyAside(e, a); err != nil {
			return err
		}
	default:
		if err := b.apply(c, e, a, claims); err != nil {
			return err
		}
	}
	b.node.report("a rule failed on an event", a.problems)
	b.emit(c, a)
	return nil
}

// apply folds a valid event into its profile, unless that would make the
// profile too large: then the event is kept as not valid.
func (b *batch) apply(c *record.Command, e *entry, a *application, claims []claim) error {
	growth := len(c.Event.Properties) + len(c.Event.Traits) + len(c.Event.Context) + 512
	before, tight := e.guard(growth)
	doc := a.apply(c.Profile, claims)
	if tight {
		if size := len(doc.AppendJSON(nil)); size > maxDocument {
			if err := b.restore(e, before); err != nil {
				return err
			}
			a.doc, a.changes, a.ended = e.doc, nil, nil
			a.refuse(overLimit(size))
			return nil
		}
	}
	e.doc = doc
	e.size += growth
	b.touch(c.Profile, e)
	return nil
}

// guard tells whether a change that adds about growth bytes may make the
// profile too large, and then gives its text, to put it back by.
func (e *entry) guard(growth int) (before []byte, tight bool) {
	if e.size+2*growth <= maxDocument {
		return nil, false
	}
	if e.doc != nil {
		before = e.doc.AppendJSON(nil)
	}
	e.size = len(before)
	return before, e.size+2*growth > maxDocument
}

func (b *batch) restore(e *entry, before []byte) error {
	e.doc = nil
	if before == nil {
		return nil
	}
	doc, err := record.ParseDocument(before)
	if err != nil {
		return fmt.Errorf("put a profile back: %w", err)
	}
	e.doc = doc
	return nil
}

// touch marks a profile as changed by the batch.
func (b *batch) touch(profile string, e *entry) {
	if _, ok := b.touched[profile]; !ok {
		b.touched[profile] = e
		b.order = append(b.order, profile)
		b.weight += e.size
	}
}

// emit sends the event on and answers who waits for it.
func (b *batch) emit(c *record.Command, a *application) {
	out := a.processed()
	data := out.AppendJSON(make([]byte, 0, 512+len(c.Event.Properties)+len(c.Event.Context)))
	sent := record.Processed{Type: a.event.Type, Data: data, Hops: c.Hops}
	if c.Flows && c.Reply != "" && a.event.Valid {
		sent.Reply = record.FlowsReply(c.Reply)
	}
	b.commit.Events = append(b.commit.Events, sent)
	b.weight += len(data)
	b.reply(c, &record.Outcome{
		Status: record.StatusAccepted, Profile: a.event.Profile, Session: a.event.Session,
		Valid: a.event.Valid, Errors: a.event.Errors, N: len(b.commit.Events), Revision: out.Revision,
	})
}

func (b *batch) reply(c *record.Command, o *record.Outcome) {
	if c.Reply == "" {
		return
	}
	o.Partition, o.C = b.number, b.commit.C
	b.commit.Replies = append(b.commit.Replies, record.Reply{Subject: c.Reply, Data: o.AppendJSON(nil)})
}

// forward sends the event to the profile that it belongs to. Its id is not
// recorded as seen here: that is for where it is applied.
func (b *batch) forward(c *record.Command, d decision) {
	b.node.metrics.forwarded.Inc()
	next := *c
	next.Profile, next.Settled = d.forward, d.settled
	data := record.AppendCommand(nil, &next)
	b.commit.Commands = append(b.commit.Commands, record.Routed{Partition: b.node.bus.Partition(d.forward), Command: data})
	b.weight += len(data)
}

// repeated answers for a command that was applied before.
func (b *batch) repeated(c *record.Command, profile string) {
	b.node.metrics.duplicate.Inc()
	o := &record.Outcome{Status: record.StatusDuplicate, Profile: profile, Valid: true}
	if c.Event != nil {
		o.Session = c.Event.Session
	}
	b.reply(c, o)
}

// load returns the profile with the id; its document is nil where nobody has
// it yet.
func (b *batch) load(profile string) (*entry, error) {
	if profile == "" {
		return &entry{}, nil
	}
	if e, ok := b.touched[profile]; ok {
		return e, nil
	}
	if e, ok := b.documents.get(profile); ok {
		return e, nil
	}
	e, err := b.node.readDocument(b.ctx, profile)
	if err != nil {
		return nil, err
	}
	b.documents.put(profile, e)
	return e, nil
}

func (n *Processor) readDocument(ctx context.Context, profile string) (*entry, error) {
	data, revision, err := n.bus.GetDocument(ctx, profile)
	if errors.Is(err, bus.ErrNotFound) {
		return &entry{revision: revision}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read profile %s: %w", profile, err)
	}
	doc, err := record.ParseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("read profile %s: %w", profile, err)
	}
	return &entry{doc: doc, revision: revision, size: len(data)}, nil
}

// finish encodes the documents that the batch changed.
func (b *batch) finish() {
	b.commit.Revision = b.rules.set.Revision()
	for _, profile := range b.order {
		e := b.touched[profile]
		e.doc.C = b.commit.C
		b.document = e.doc.AppendJSON(b.document[:0])
		data := bytes.Clone(b.document)
		e.size = len(data)
		b.commit.Documents = append(b.commit.Documents, record.Change{Profile: profile, Document: data})
	}
}

func profileOf(e *entry) string {
	if e.doc == nil {
		return ""
	}
	return e.doc.Profile.ID
}

// A poisonError is a command that made the fold panic.
type poisonError struct {
	item  *item
	fault any
}

func (e *poisonError) Error() string { return fmt.Sprintf("the fold panicked: %v", e.fault) }
