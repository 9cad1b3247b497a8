package gateway

import (
	"github.com/google/uuid"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// commit is the commands of a batch, encoded, an entry for each partition
// that they touch. What an event is to its partition stays in order.
type commit struct {
	partitions []int    // of each entry
	commands   [][]byte // of each entry
	entryOf    []int32  // entry of a partition, plus one
	entries    []bus.Entry
	seen       map[record.ID]int // by id, the first event of the request that has it
}

func (c *commit) reset() {
	for _, p := range c.partitions {
		c.entryOf[p] = 0
	}
	c.partitions = c.partitions[:0]
	for i := range c.commands {
		if cap(c.commands[i]) > keepBytes {
			c.commands[i] = nil
		}
		c.commands[i] = c.commands[i][:0]
	}
	clear(c.seen)
}

// entry returns the entry of a partition.
func (c *commit) entry(partition int) int {
	for len(c.entryOf) <= partition {
		c.entryOf = append(c.entryOf, 0)
	}
	if n := c.entryOf[partition]; n > 0 {
		return int(n - 1)
	}
	n := len(c.partitions)
	c.partitions = append(c.partitions, partition)
	if len(c.commands) == n {
		c.commands = append(c.commands, make([]byte, 0, 1024))
	}
	c.entryOf[partition] = int32(n + 1)
	return n
}

// put encodes an event's command into the entry of its partition.
func (c *commit) put(e *event, command *record.Command) {
	e.entry = c.entry(e.partition)
	c.commands[e.entry] = record.AppendCommand(c.commands[e.entry], command)
}

// name gives every event that can be accepted its id, and notes what has to stay as its
// source is now.
func (b *batch) name(source *config.Source) {
	for i := range b.events {
		e := &b.events[i]
		if e.status != accepted {
			continue
		}
		if e.ID == "" {
			e.ID = newID()
		}
		e.Source, e.Ephemeral = source.ID, source.Ephemeral
		e.id = record.EventID(source.ID, e.ID)
	}
}

// findRepeated marks the events that repeat an earlier one of the same request.
func (b *batch) findRepeated() {
	few := len(b.events) <= 8
	for i := range b.events {
		e := &b.events[i]
		if e.status != accepted {
			continue
		}
		if few {
			for j := range i {
				if b.events[j].status == accepted && b.events[j].id == e.id {
					e.status, e.first = duplicate, j
					break
				}
			}
			continue
		}
		if b.commit.seen == nil {
			b.commit.seen = make(map[record.ID]int, len(b.events))
		}
		if j, again := b.commit.seen[e.id]; again {
			e.status, e.first = duplicate, j
			continue
		}
		b.commit.seen[e.id] = i
	}
}

// newID makes an id that sorts by time.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		// The system's random source does not fail where Go runs; see crypto/rand.
		panic("make an event id: " + err.Error())
	}
	return id.String()
}
