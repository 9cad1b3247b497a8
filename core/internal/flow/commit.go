package flow

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

type committing interface {
	PublishCommands(ctx context.Context, commands []record.Routed) error
	Replies(handler func(token string, data []byte)) (prefix string, stop func(), err error)
}

// A committer sends the commands of runs to the log, many in a message, and
// tells each run when its command is committed.
type committer struct {
	bus    committing
	log    *slog.Logger
	prefix string // of the subjects that outcomes come back on
	queue  chan outgoing

	mu      sync.Mutex
	last    uint64
	waiting map[string]chan *record.Outcome
}

type outgoing struct {
	partition int
	command   []byte
}

const (
	// maxGroup bounds, in bytes, what one message of the log holds.
	maxGroup = 512 << 10
	// groupCommands bounds how many commands are sent together.
	groupCommands = 1000
	// askAgain is after which time without an outcome a command is sent again: it
	// may have been lost, or the outcome. The fold drops repetitions.
	askAgain = 10 * time.Second
)

func newCommitter(b committing, log *slog.Logger) *committer {
	return &committer{bus: b, log: log, queue: make(chan outgoing, groupCommands), waiting: map[string]chan *record.Outcome{}}
}

// listen takes outcomes until stop is called.
func (c *committer) listen() (stop func(), err error) {
	c.prefix, stop, err = c.bus.Replies(func(token string, data []byte) {
		outcome, err := record.ParseOutcome(data)
		if err != nil {
			c.log.Error("an outcome cannot be decoded; it is asked for again", "error", err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if done := c.waiting[token]; done != nil {
			done <- &outcome // it has room for the one
			delete(c.waiting, token)
		}
	})
	return stop, err
}

// commit sends a command and returns when the processor has committed it, or
// had done so before. The outcome is not valid where the command came to nothing;
// then the processor has kept it as a dead letter.
func (c *committer) commit(ctx context.Context, partition int, command *record.Command) (*record.Outcome, error) {
	done := make(chan *record.Outcome, 1)
	c.mu.Lock()
	c.last++
	token := strconv.FormatUint(c.last, 36)
	c.waiting[token] = done
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, token)
		c.mu.Unlock()
	}()
	command.Reply = c.prefix + token
	out := outgoing{partition, record.AppendCommand(nil, command)}
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		select {
		case c.queue <- out:
		case outcome := <-done:
			return outcome, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		select {
		case outcome := <-done:
			return outcome, nil
		case <-again.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// run sends what is queued until ctx ends: what gathers while one group is being
// stored is the next.
func (c *committer) run(ctx context.Context) {
	for {
		var group []outgoing
		select {
		case <-ctx.Done():
			return
		case first := <-c.queue:
			group = append(group, first)
		}
		for more := true; more && len(group) < groupCommands; {
			select {
			case next := <-c.queue:
				group = append(group, next)
			default:
				more = false
			}
		}
		if err := c.bus.PublishCommands(ctx, messages(group)); err != nil && ctx.Err() == nil {
			c.log.Warn("commands of flows cannot be stored; they are sent again", "error", err)
			pause(ctx, retryPause)
		}
	}
}

// messages puts the commands of a partition together, in order.
func messages(group []outgoing) []record.Routed {
	var list []record.Routed
	last := map[int]int{} // by partition: its message in the list that has room
	for _, out := range group {
		i, ok := last[out.partition]
		if ok && len(list[i].Command)+len(out.command) <= maxGroup {
			list[i].Command = append(list[i].Command, out.command...)
			continue
		}
		last[out.partition] = len(list)
		list = append(list, record.Routed{Partition: out.partition, Command: out.command})
	}
	return list
}
