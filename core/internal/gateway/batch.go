package gateway

import (
	"sync"
	"time"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// An event is what every dialect makes of one event of a request.
type event struct {
	record.Event
	status  status
	problem *problem // why it is invalid, or to be sent again
	// id is what the fold knows repetitions by.
	id record.ID
	// first is the index, in the same request, of the event that this one
	// repeats; -1 where it repeats none.
	first int
	// bySession is true where a known session decides whose the event is,
	// before anything else does.
	bySession bool
	// stranger is true where nothing identifies whom the event is about.
	stranger bool
	// orNobody is true where the event is about nobody, unless it names somebody
	// or has a session.
	orNobody bool
	// othersTraits is true where the traits are not those of whom the event is
	// about, but those of a group: nobody is identified by what they say.
	othersTraits bool
	// profile is whom the event is routed to; empty for an event about nobody.
	profile   string
	partition int
	entry     int                  // index of the append's entry that carries it
	room      [2]record.Identifier // for the first of IDs
	outcome   *record.Outcome
	response  responses // what its flows answered, where that was waited for
}

// A status is what became of an event, in a result.
type status uint8

const (
	accepted status = iota
	duplicate
	invalid
	retry
)

func (s status) String() string {
	return [...]string{"accepted", record.StatusDuplicate, "invalid", "retry"}[s]
}

// fail marks the event invalid. The first reason stays.
func (e *event) fail(p *problem) {
	if e.problem == nil {
		e.status, e.problem = invalid, p
	}
}

// A batch is the events of one request in their order, with the room they
// need. It is pooled: nothing of it may be kept after release.
type batch struct {
	received time.Time
	events   []event
	// arena holds raw JSON that could not stay where it came in.
	arena []byte
	// key is the write key that the body named, empty where it named none.
	key   string
	async bool // the body says that its sender does not wait
	whole bool // the body asks for the profile's document, as far as the source may have it
	// together is true where all events are about the same profile.
	together bool
	// context is what the body says of all of them, where their visitor may be known by
	// it.
	context []byte
	sender  sender
	shared  int // bytes that were added to events because they share them
	commit  commit
	// known is true once the bus has answered: the status of each event says what
	// became of it.
	known bool
	// keep is true where the bus may still read what it was given, so that
	// the room is not used again.
	keep    bool
	body    []byte // room for the request's body, which the events point into
	request request
	out     []byte // room for the answer
	parser  parser
	// renewals are identifiers that the router looks up again.
	renewals []renewal
}

var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch(now time.Time, limits *Limits) *batch {
	b := batches.Get().(*batch)
	b.received = now.UTC().Truncate(time.Millisecond)
	b.parser.nesting, b.parser.arena = limits.Nesting, &b.arena
	return b
}

const (
	keepEvents = 256     // what a pooled batch keeps at most, so that one
	keepBytes  = 1 << 18 // large request does not hold its memory for ever
)

func (b *batch) release() {
	if b.keep || cap(b.events) > keepEvents || cap(b.arena)+cap(b.body)+cap(b.out) > keepBytes {
		return
	}
	clear(b.events[:cap(b.events)])
	b.events, b.arena, b.body, b.out = b.events[:0], b.arena[:0], b.body[:0], b.out[:0]
	b.key, b.shared, b.context, b.request, b.sender = "", 0, nil, request{}, sender{}
	b.async, b.whole, b.together, b.known = false, false, false, false
	clear(b.renewals)
	b.renewals = b.renewals[:0]
	b.commit.reset()
	b.parser.forget()
	batches.Put(b)
}

// add makes room for one more event.
func (b *batch) add() *event {
	if len(b.events) < cap(b.events) {
		b.events = b.events[:len(b.events)+1]
	} else {
		b.events = append(b.events, event{})
	}
	e := &b.events[len(b.events)-1]
	e.first, e.IDs = -1, e.room[:0]
	return e
}

// drop takes back the events from the index on.
func (b *batch) drop(from int) {
	clear(b.events[from:])
	b.events = b.events[:from]
}

// forgetOutcomes makes what the bus has answered all that is known.
func (b *batch) forgetOutcomes() {
	for i := range b.events {
		b.events[i].outcome, b.events[i].response = nil, nil
	}
}

// count tells how many events have the status.
func count(events []event, s status) (n int) {
	for i := range events {
		if events[i].status == s {
			n++
		}
	}
	return n
}
