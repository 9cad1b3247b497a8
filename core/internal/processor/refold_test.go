package processor

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tributary-bus/tributary/core/internal/fold"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/wire"
)

// A refold folds what the log held again, by what the commits say they found.
type refold struct {
	t         *testing.T
	n         *node
	log       map[int]map[uint64][]record.Command // by partition and sequence
	documents map[string]*record.Document
	rules     *fold.Rules
	folded    int
}

// again folds the commands of a commit and compares what comes of them with what the
// commit did.
func (r *refold) again(c *record.Commit) {
	r.t.Helper()
	var commands []record.Command
	for _, seq := range sortedSequences(r.log[c.Partition]) {
		for i, command := range r.log[c.Partition][seq] {
			after := seq > c.From.Seq || seq == c.From.Seq && uint32(i) >= c.From.Done
			within := seq < c.To.Seq || seq == c.To.Seq && uint32(i) < c.To.Done
			if after && within {
				commands = append(commands, command)
			}
		}
	}
	var events []record.Processed
	var sent []record.Routed
	changed := map[string]bool{}
	var f fold.Fold
	for number := range commands {
		command := &commands[number]
		if command.Kind == record.KindConfig {
			continue
		}
		doc := r.documents[command.Profile]
		f.Begin(fold.Input{Rules: r.rules, Command: command, Doc: doc, Size: len(textOf(doc)), Derive: r.derive})
		result := f.Repeated()
		if !slices.Contains(c.Known, uint32(number)) {
			f.Begin(fold.Input{Rules: r.rules, Command: command, Doc: doc, Size: len(textOf(doc)), Derive: r.derive})
			var claims []fold.Claim
			for _, id := range f.Wants() {
				claims = append(claims, fold.Claim{Identifier: id, Holder: command.Profile})
			}
			for _, found := range c.Found {
				if found.Command == uint32(number) {
					claim := &claims[found.Claim]
					claim.Holder, claim.From, claim.Gen, claim.Foreign, claim.Late = found.Holder, found.From, found.Gen, found.Foreign, found.Late
				}
			}
			f.Resolve(claims)
			result = f.Apply(f.Route())
			r.folded++
		}
		if r.documents[command.Profile] = result.Doc; result.Changed {
			changed[command.Profile] = true
		}
		events = append(append(events, result.Events...), result.Changes...)
		for _, one := range result.Commands {
			if one.ID == (record.ID{}) {
				one.ID = record.DerivedID(c.Partition, c.C, len(sent))
			}
			sent = append(sent, record.Routed{Partition: r.n.bus.Partition(one.Profile), Command: record.AppendCommand(nil, &one)})
		}
	}
	if len(events) != len(c.Events) || len(sent) != len(c.Commands) || len(changed) != len(c.Documents) {
		r.t.Fatalf("commit %d of partition %d: %d events, %d commands, %d documents; folded again %d, %d, %d",
			c.C, c.Partition, len(c.Events), len(c.Commands), len(c.Documents), len(events), len(sent), len(changed))
	}
	for i := range events {
		if !bytes.Equal(events[i].Data, c.Events[i].Data) {
			r.t.Errorf("event\n%s\nfolded again\n%s", c.Events[i].Data, events[i].Data)
		}
	}
	for i := range sent {
		if !bytes.Equal(sent[i].Command, c.Commands[i].Command) {
			r.t.Errorf("command\n%+v\nfolded again\n%+v", parsed(c.Commands[i].Command), parsed(sent[i].Command))
		}
	}
	for _, d := range c.Documents {
		doc := r.documents[d.Profile]
		doc.C = c.C
		if again := textOf(doc); !bytes.Equal(again, d.Document) {
			r.t.Errorf("document\n%s\nfolded again\n%s", d.Document, again)
		}
	}
}

func (r *refold) derive(c fold.Claim) string {
	return r.n.bus.DerivedProfile(c.Kind, c.Value, c.Gen)
}

func parsed(text []byte) string {
	commands, err := record.ParseCommands(text)
	if err != nil {
		return err.Error()
	}
	c := commands[0]
	out := fmt.Sprintf("%+v", c)
	if c.Event != nil {
		out += fmt.Sprintf(" %+v", *c.Event)
	}
	return out
}

func textOf(doc *record.Document) []byte {
	if doc == nil {
		return nil
	}
	return doc.AppendJSON(nil)
}

func sortedSequences(m map[uint64][]record.Command) []uint64 {
	var list []uint64
	for seq := range m {
		list = append(list, seq)
	}
	slices.Sort(list)
	return list
}

// TestCommitsFoldAgain keeps every commit and feeds its commands, the identities that
// it found and its configuration to the fold again: documents, events and commands
// are the same to the byte.
func TestCommitsFoldAgain(t *testing.T) {
	n, stopReplies := prepare(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	commits := make([]map[uint64][]byte, n.bus.Partitions())
	var mu sync.Mutex
	n.p.options.Reached = func(s Step) { // no partition's last commit is purged
		if s != StepCommit {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for p := range commits {
			data, seq, err := n.bus.LastCommit(ctx, p)
			if err != nil || data == nil {
				continue // not the one that was made just now
			}
			if commits[p] == nil {
				commits[p] = map[uint64][]byte{}
			}
			commits[p][seq] = bytes.Clone(data)
		}
	}
	n.run(stopReplies)
	r := &refold{t: t, n: n, log: map[int]map[uint64][]record.Command{}, documents: map[string]*record.Document{}, rules: compiled(t, countingType)}
	type portion struct {
		partition int
		seq       uint64
		commands  []record.Command
	}
	read := make(chan portion, 1<<16)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	for p := range n.bus.Partitions() {
		r.log[p] = map[uint64][]record.Command{}
		reader, err := n.bus.ReadIngest(ctx, p, 0)
		if err != nil {
			t.Fatal(err)
		}
		reading.Go(func() {
			defer reader.Close()
			for {
				messages, err := reader.Next(ctx, 1<<20)
				if err != nil || ctx.Err() != nil {
					return
				}
				for _, m := range messages {
					commands, err := record.ParseCommands(bytes.Clone(m.Data))
					if err != nil {
						t.Error(err)
					}
					read <- portion{p, m.Seq, commands}
				}
			}
		})
	}
	n.configure()
	random := rand.New(rand.NewPCG(3, 4))
	one := func(list ...string) string { return list[random.IntN(len(list))] }
	for i := range 600 {
		at := noon.Add(time.Duration(i) * time.Second)
		person := random.IntN(20)
		c := n.by(fmt.Sprint(i), random.IntN(9), at.Add(-time.Duration(random.IntN(100))*time.Minute), fmt.Sprint(one("user:u", "anonymous:a", "email:m"), person), fmt.Sprint(one("anonymous:a", "anonymous:b"), person%7))
		c.Received = at
		c.Event.Session = one("", fmt.Sprint("s", person))
		switch i % 10 {
		case 7:
			p := &record.Patch{By: "flow/x", Patches: []wire.Patch{increment("counters.patched", 1), enter(one("x", "y")), leave(one("x", "y"))}}
			n.send(n.patches(fmt.Sprint("run", i), c.Profile, p, ""))
		case 8:
			n.send(c, c)
		case 9:
			if i%50 == 49 {
				n.send(&record.Command{Kind: record.KindErase, ID: record.EventID("erase", fmt.Sprint(i)), Profile: c.Profile, Received: at, Body: record.AppendErase(nil, &record.Erase{By: "admin"})})
			}
		default:
			n.send(c)
		}
	}
	n.settled()
	mu.Lock()
	defer mu.Unlock()
	want := 0
	for len(read) > 0 || want == 0 {
		m := <-read
		r.log[m.partition][m.seq] = m.commands
		want++
	}
	for p := range n.bus.Partitions() {
		next := uint64(1)
		var seqs []uint64
		for seq := range commits[p] {
			seqs = append(seqs, seq)
		}
		slices.Sort(seqs)
		for _, seq := range seqs {
			c, err := record.ParseCommit(commits[p][seq])
			if err != nil {
				t.Fatal(err)
			}
			if c.C != next {
				t.Fatalf("commit %d of partition %d was not kept", next, p)
			}
			next++
			r.again(c)
		}
	}
	if r.folded < 600 {
		t.Errorf("%d commands were folded again", r.folded)
	}
}
