package erasure

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// Commands sends commands to the processors and waits for what becomes of them.
type Commands struct {
	bus    *bus.Bus
	prefix string
	stop   func()

	mu   sync.Mutex
	last uint64
	open map[string]chan<- struct{}
}

// NewCommands is ready to send; Close ends it.
func NewCommands(b *bus.Bus) (*Commands, error) {
	c := &Commands{bus: b, open: map[string]chan<- struct{}{}}
	var err error
	c.prefix, c.stop, err = b.Replies(func(token string, _ []byte) {
		number, _, _ := strings.Cut(token, "-") // what flows answer is not asked for
		c.mu.Lock()
		defer c.mu.Unlock()
		if done := c.open[number]; done != nil {
			close(done)
			delete(c.open, number)
		}
	})
	return c, err
}

// Close takes no more answers.
func (c *Commands) Close() { c.stop() }

// answerWithin is how long an outcome may take. The answer may be lost with the
// connection; to whoever asks again with the same ids it comes at once.
const answerWithin = 10 * time.Second

// Do sends commands, each to the partition of its profile, and returns when all of
// them were committed, wherever they were sent on to.
func (c *Commands) Do(ctx context.Context, commands []record.Command) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	routed := make([]record.Routed, len(commands))
	waits := make([]chan struct{}, len(commands))
	numbers := make([]string, len(commands))
	c.mu.Lock()
	for i := range commands {
		c.last++
		numbers[i], waits[i] = strconv.FormatUint(c.last, 36), make(chan struct{})
		c.open[numbers[i]] = waits[i]
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, number := range numbers {
			delete(c.open, number)
		}
	}()
	for i := range commands {
		one := commands[i]
		one.Reply = c.prefix + numbers[i]
		routed[i] = record.Routed{Partition: c.bus.Partition(one.Profile), Command: record.AppendCommand(nil, &one)}
	}
	if err := c.bus.PublishCommands(ctx, routed); err != nil {
		return err
	}
	for i, done := range waits {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("wait for profile %s: %w", commands[i].Profile, context.Cause(ctx))
		}
	}
	return nil
}
