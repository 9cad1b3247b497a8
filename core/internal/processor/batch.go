package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/fold"
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
	done   uint32            // where the position stands when it is done
	claims []fold.Claim      // the identifiers that it depends on, in the fold's order
	keys   []bus.IdentityKey // theirs
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
	renew    []bus.IdentityKey // of sessions and fingerprints
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
	case 0: // a message that could not be decoded
	case record.KindConfig:
		if it.Revision > b.rules.Set().Revision() {
			err = b.configure(b.ctx, it.Revision)
		}
		if err == nil {
			b.reply(&it.Command, &record.Outcome{Status: record.StatusAccepted, Valid: true})
		}
	default:
		err = b.apply(it)
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
	p.rules = fold.NewRules(set)
	return nil
}

// apply folds a command that is about a profile, or about nobody, and takes what it
// does into the commit.
func (b *batch) apply(it *item) error {
	c := &it.Command
	e, err := b.load(c.Profile)
	if err != nil {
		return err
	}
	f := &b.folding
	f.Begin(fold.Input{Rules: b.rules, Command: c, Doc: e.doc, Size: e.size, Claims: it.claims, Derive: b.derive, Hash: b.node.hash})
	known, err := b.node.seen.Has(c.ID)
	if err != nil {
		return fmt.Errorf("look up the id of a command: %w", err)
	}
	if known {
		return b.repeated(it, e, f)
	}
	d, err := b.route(it, f)
	if err != nil {
		return err
	}
	if d.Forward == "" {
		fresh, err := b.node.seen.Reserve(c.ID)
		if err != nil {
			return fmt.Errorf("reserve the id of a command: %w", err)
		}
		if !fresh {
			return b.repeated(it, e, f)
		}
		reserved := true
		defer func() {
			if reserved { // the fold panicked
				b.node.seen.Release([]record.ID{c.ID})
			}
		}()
		r := f.Apply(d)
		reserved = false
		return b.applied(it, e, d, r)
	}
	return b.applied(it, e, d, f.Apply(d))
}

// applied takes what the fold did into the commit, with the id where it is known now.
func (b *batch) applied(it *item, e *entry, d fold.Decision, r *fold.Result) error {
	c := &it.Command
	b.found(b.folding.Claims, c.Profile)
	switch {
	case r.Applied:
		b.commit.Seen = append(b.commit.Seen, c.ID)
	case d.Forward == "":
		b.node.seen.Release([]record.ID{c.ID})
	}
	return b.take(it, e, r)
}

// repeated answers for a command that was applied before.
func (b *batch) repeated(it *item, e *entry, f *fold.Fold) error {
	b.node.metrics.duplicate.Inc()
	b.commit.Known = append(b.commit.Known, uint32(b.commands))
	return b.take(it, e, f.Repeated())
}

// found records who held the identifiers of the next command, where that does not go
// without saying.
func (b *batch) found(claims []fold.Claim, profile string) {
	for i := range claims {
		c := &claims[i]
		if c.Holder == profile && c.From == "" && c.Gen == 0 && !c.Foreign && !c.Late {
			continue
		}
		b.commit.Found = append(b.commit.Found, record.Finding{
			Command: uint32(b.commands), Claim: uint32(i), Holder: c.Holder, From: c.From, Gen: c.Gen, Foreign: c.Foreign, Late: c.Late,
		})
		b.weight += len(c.Holder) + len(c.From) + 8
	}
}

// route lets the fold decide whom the command is about, and has the profile take the
// keys that it is to hold.
func (b *batch) route(it *item, f *fold.Fold) (fold.Decision, error) {
	if it.Event == nil {
		it.claims, it.keys = b.node.claims(f.Wants())
		f.Resolve(it.claims)
	}
	if err := b.hold(it); err != nil {
		return fold.Decision{}, err
	}
	if err := b.findForeign(f); err != nil {
		return fold.Decision{}, err
	}
	for {
		d := f.Route()
		if d.Forward != "" || len(d.Take) == 0 {
			if d.Forward == "" {
				b.renewKeys(it)
			}
			return d, nil
		}
		again, err := b.claim(it, d)
		if err != nil {
			return d, err
		}
		if !again {
			b.renewKeys(it)
			return d, nil
		}
	}
}

// take takes what a command does into the commit.
func (b *batch) take(it *item, e *entry, r *fold.Result) error {
	c := &it.Command
	if r.Dead != "" {
		if err := b.node.deadLetter(b.ctx, it, r.Dead); err != nil {
			return err
		}
	}
	b.node.metrics.folded(r, c.Kind)
	b.node.report("a rule failed", r.Problems)
	e.doc, e.size = r.Doc, r.Size
	if r.Changed {
		b.touch(c.Profile, e)
	}
	for _, m := range r.Moves {
		b.move(it, m)
	}
	n := len(b.commit.Events)
	b.commit.Events = append(append(b.commit.Events, r.Events...), r.Changes...)
	for i := range b.commit.Events[n:] {
		b.weight += len(b.commit.Events[n+i].Data)
	}
	for i := range r.Commands {
		b.send(&r.Commands[i])
	}
	if r.Outcome != nil {
		if r.Own >= 0 {
			r.Outcome.N = n + r.Own + 1
		}
		b.reply(c, r.Outcome)
	}
	return nil
}

// send makes a command of the commit's. Without an id it gets that of its place.
func (b *batch) send(c *record.Command) {
	if c.ID == (record.ID{}) {
		c.ID = record.DerivedID(b.number, b.commit.C, len(b.commit.Commands))
	}
	partition := b.number
	if c.Profile != "" {
		partition = b.node.bus.Partition(c.Profile)
	}
	data := record.AppendCommand(nil, c)
	b.commit.Commands = append(b.commit.Commands, record.Routed{Partition: partition, Command: data})
	b.weight += len(data)
}

// touch marks a profile as changed by the batch.
func (b *batch) touch(profile string, e *entry) {
	if _, ok := b.touched[profile]; !ok {
		b.touched[profile] = e
		b.order = append(b.order, profile)
		b.weight += e.size
	}
}

func (b *batch) reply(c *record.Command, o *record.Outcome) {
	if c.Reply == "" {
		return
	}
	o.Partition, o.C = b.number, b.commit.C
	b.commit.Replies = append(b.commit.Replies, record.Reply{Subject: c.Reply, Data: o.AppendJSON(nil)})
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

// maxStored bounds what the bus takes of one document. The fold keeps profiles far below
// it; what came here all the same must not be committed, since it could never be stored.
const maxStored = 6 << 20

var errTooLarge = errors.New("a document is larger than can be stored")

// finish encodes the documents that the batch changed.
func (b *batch) finish() error {
	b.commit.Revision = b.rules.Set().Revision()
	for _, profile := range b.order {
		e := b.touched[profile]
		e.doc.C = b.commit.C
		b.document = e.doc.AppendJSON(b.document[:0])
		data := bytes.Clone(b.document)
		if e.size = len(data); e.size > maxStored {
			return fmt.Errorf("%w: profile %s takes %d bytes", errTooLarge, profile, e.size)
		}
		b.commit.Documents = append(b.commit.Documents, record.Change{Profile: profile, Document: data})
	}
	return nil
}

// A poisonError is a command that made the fold panic.
type poisonError struct {
	item  *item
	fault any
}

func (e *poisonError) Error() string { return fmt.Sprintf("the fold panicked: %v", e.fault) }
