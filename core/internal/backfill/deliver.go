package backfill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// deliver sends a chunk, waits until it has arrived, and moves on behind it. Where it
// ends is kept first: sent again, it is the same one.
func (b *Backfill) deliver(ctx context.Context, out *outbox, s *kept, c *chunk) error {
	letters := b.letters(s, c)
	if !s.Sending && len(letters) > 0 {
		s.Sending, s.End, s.Last = true, c.end, c.last
		if err := b.save(ctx, s); err != nil {
			return err
		}
	}
	if err := out.send(ctx, letters); err != nil {
		return err
	}
	s.Read += c.read
	s.Sending, s.End, s.Last = false, place{}, false
	s.From, s.Finished = c.end, c.last
	if !s.Finished {
		s.Chunk++
	}
	return b.save(ctx, s)
}

// letters are the commands of a chunk, one for each profile that has something in it.
func (b *Backfill) letters(s *kept, c *chunk) []letter {
	var letters []letter
	for _, id := range slices.Sorted(maps.Keys(c.of)) {
		windows := c.of[id]
		maps.DeleteFunc(windows, func(_ string, w *record.Window) bool { return len(w.Times) == 0 && len(w.Slots) == 0 })
		if len(windows) == 0 {
			continue
		}
		letters = append(letters, letter{partition: b.o.Bus.Partition(id), command: record.Command{
			Kind: record.KindBackfill, Profile: id, Received: c.at,
			// No source has an empty id, so no client's event is known by this.
			ID: record.EventID("", fmt.Sprintf("backfill/%d/%d/%s", s.Since, s.Chunk, id)),
			Body: record.AppendBackfill(nil, &record.Backfill{
				Profile: id, Fill: record.Fill{Since: s.Since, Chunk: s.Chunk}, Windows: windows,
			}),
		}})
	}
	return letters
}

// A letter is a command for a partition.
type letter struct {
	partition int
	command   record.Command
}

// An outbox sends commands and takes the answers.
type outbox struct {
	b      *Backfill
	prefix string
	close  func()

	mu      sync.Mutex
	round   uint64
	pending map[string]int // letters without an answer, by token
	refused int            // that came to nothing
	arrived chan struct{}  // closed when there are none
}

func (b *Backfill) openOutbox() (*outbox, error) {
	o := &outbox{b: b}
	var err error
	if o.prefix, o.close, err = b.o.Bus.Replies(o.take); err != nil {
		return nil, err
	}
	return o, nil
}

// answerWithin is after what time a command without an answer is sent again: the
// answer is lost where the node that gives it dies.
const answerWithin = 10 * time.Second

// send sends commands and returns when each of them has been processed, at whichever
// profile it arrived.
func (o *outbox) send(ctx context.Context, letters []letter) error {
	if len(letters) == 0 {
		return nil
	}
	arrived := o.expect(letters)
	for {
		if err := o.b.o.Bus.PublishCommands(ctx, o.unanswered(letters)); err != nil {
			return err
		}
		timer := time.NewTimer(answerWithin)
		select {
		case <-arrived:
			timer.Stop()
			o.report()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// expect gives each letter a token of its own.
func (o *outbox) expect(letters []letter) (arrived <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.round++
	o.pending, o.arrived = make(map[string]int, len(letters)), make(chan struct{})
	for i := range letters {
		token := strconv.FormatUint(o.round, 36) + "-" + strconv.Itoa(i)
		o.pending[token] = i
		// Patient: it is processed along with others.
		letters[i].command.Reply, letters[i].command.Patient = o.prefix+token, true
	}
	return o.arrived
}

// unanswered are the letters without an answer, in their order.
func (o *outbox) unanswered(letters []letter) []record.Routed {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]record.Routed, 0, len(o.pending))
	for _, i := range slices.Sorted(maps.Values(o.pending)) {
		list = append(list, record.Routed{
			Partition: letters[i].partition, Command: record.AppendCommand(nil, &letters[i].command),
		})
	}
	return list
}

// take takes an answer.
func (o *outbox) take(token string, data []byte) {
	outcome, err := record.ParseOutcome(data)
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, awaited := o.pending[token]; !awaited {
		return
	}
	if err != nil || len(outcome.Errors) > 0 {
		o.refused++
	}
	if delete(o.pending, token); len(o.pending) == 0 {
		close(o.arrived)
	}
}

// report tells of what came to nothing; the dead letters say why.
func (o *outbox) report() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.refused > 0 {
		o.b.o.Log.Warn("profiles have no room for new windows; see the dead letters", "profiles", o.refused)
		o.refused = 0
	}
}
