package gateway

import (
	"context"
	"net/http"
	"runtime/debug"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// A track is a command that sends events.
type track struct {
	id      int64
	events  jsontext.Value
	wait    string
	session string // of events that name none
	size    int    // of its line, and trackRoom
	message *message
}

// tracks are those of one connection that are not worked on yet. What waits
// becomes one append, in order; while that is on its way the next gather.
type tracks struct {
	socket *socket
	mu     sync.Mutex
	room   sync.Cond // woken when there is less
	queue  []track
	bytes  int
	busy   bool
	work   sync.WaitGroup
	waits  chan struct{} // a place for each track that waits for outcomes; nil before the first one
}

// maxWaits is how many tracks of one connection may wait for outcomes.
const maxWaits = 64

func (t *tracks) init(s *socket) {
	t.socket = s
	t.room.L = &t.mu
}

// add queues a track. Where too much is queued it waits, and with it the
// reader and at last the client.
func (t *tracks) add(one track) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.bytes > 0 && t.bytes+one.size > 2*t.socket.g.limits.Request {
		t.room.Wait()
	}
	t.queue = append(t.queue, one)
	t.bytes += one.size
	if !t.busy {
		t.busy = true
		t.work.Go(t.run)
	}
}

// finish waits until everything is answered.
func (t *tracks) finish() { t.work.Wait() }

// run works until nothing is queued.
func (t *tracks) run() {
	for {
		t.mu.Lock()
		if len(t.queue) == 0 {
			t.busy, t.queue = false, nil
			t.mu.Unlock()
			return
		}
		n, size := together(t.queue, t.socket.g.limits.Request)
		list := t.queue[:n:n]
		t.queue = t.queue[n:]
		t.mu.Unlock()

		t.attempt(list)
		for i := range list {
			list[i].message.leave()
		}
		clear(list)

		t.mu.Lock()
		t.bytes -= size
		t.room.Signal()
		t.mu.Unlock()
	}
}

// attempt takes tracks in. Where they fail in a way that nobody has foreseen, each
// is tried by itself, so that one does not cost the others.
func (t *tracks) attempt(list []track) {
	if t.survives(list) {
		return
	}
	for i := range list {
		if len(list) == 1 || !t.survives(list[i:i+1]) {
			t.socket.refuse(list[i].id, errFailed)
		}
	}
}

// errFailed answers a track that would fail again: its client is not to repeat it.
var errFailed = refuse(http.StatusInternalServerError, codeFailed, "the gateway failed on these events; see its log")

func (t *tracks) survives(list []track) (ok bool) {
	defer func() {
		if reason := recover(); reason != nil {
			t.report(reason)
		}
	}()
	t.take(list)
	return true
}

func (t *tracks) report(reason any) {
	t.socket.g.log.Error("tracks of a WebSocket connection failed", "reason", reason, "stack", string(debug.Stack()))
}

// together returns how many tracks go into one append: one that waits goes by
// itself, because its answer must not depend on others.
func together(queue []track, most int) (n, size int) {
	for _, one := range queue {
		if n > 0 && (one.wait != "" || queue[0].wait != "" || size+one.size > most) {
			break
		}
		n++
		size += one.size
	}
	return n, size
}

// take takes the tracks in as one batch and answers each.
func (t *tracks) take(list []track) {
	s, g := t.socket, t.socket.g
	var waiter *waiter
	waits := false // then who waits forgets the waiter
	defer func() {
		if waiter != nil && !waits {
			g.waiters.forget(waiter)
		}
	}()
	rules := g.current()
	source, refused := rules.sourceOf(s.writeKey())
	until := stages[list[0].wait]
	switch err := g.options.Bus.Accepting(); {
	case refused != nil:
	case err != nil:
		refused = unavailable(err.Error())
	case until == indexed && g.options.Indexed == nil:
		refused = errNoStore
	}
	if refused != nil {
		t.refuse(list, refused)
		return
	}
	b := newBatch(g.now(), &g.limits)
	b.sender = s.sender
	ends := make([]int, 0, len(list)) // where each track's events end
	parsed := list[:0:0]
	for _, one := range list {
		if refused := b.parseTrack(one, rules, &g.limits); refused != nil {
			s.refuse(one.id, refused)
			continue
		}
		parsed, ends = append(parsed, one), append(ends, len(b.events))
	}
	if until == stored {
		if refused := g.intake(context.Background(), source, rules, b, nil); refused != nil {
			t.refuse(parsed, refused)
		} else {
			t.acknowledge(parsed, ends, b)
		}
		b.release()
		return
	}
	if len(parsed) == 0 {
		b.release()
		return
	}
	waiter = g.waiters.register(len(b.events), until)
	if refused := g.intake(context.Background(), source, rules, b, waiter); refused != nil || refusedForNow(b.events) {
		if refused == nil {
			refused = nothingStored
		}
		t.refuse(parsed, refused)
		b.release()
		return
	}
	t.acknowledge(parsed, ends, b)
	if t.waits == nil { // one works on tracks at a time
		t.waits = make(chan struct{}, maxWaits)
	}
	t.waits <- struct{}{}
	waits = true
	parsed[0].message.keep()
	t.work.Go(func() {
		defer parsed[0].message.leave()
		defer func() { <-t.waits }()
		defer g.waiters.forget(waiter)
		defer func() {
			if reason := recover(); reason != nil {
				t.report(reason)
				t.refuse(parsed, errFailed)
			}
		}()
		form := replyForm{waited: true, late: !g.await(s.ctx, b, waiter, until)}
		s.send(resultFrame(parsed[0].id, b.events, form))
		b.release()
	})
}

func (s *socket) writeKey() string {
	if key := s.key.Load(); key != nil {
		return *key
	}
	return ""
}

func (t *tracks) refuse(list []track, refused *refusal) {
	for _, one := range list {
		t.socket.refuse(one.id, refused)
	}
}

// acknowledge answers each track with the results of its own events.
func (t *tracks) acknowledge(list []track, ends []int, b *batch) {
	from := 0
	for i, one := range list {
		events := b.events[from:ends[i]]
		from = ends[i]
		if refusedForNow(events) {
			t.socket.refuse(one.id, nothingStored)
			continue
		}
		t.socket.send(ackFrame(one.id, events))
	}
}

// parseTrack adds the events of a track to the batch. Where it refuses them,
// it leaves none there.
func (b *batch) parseTrack(one track, rules *rules, limits *Limits) *refusal {
	if one.events.Kind() != '[' {
		return refuse(0, codeMalformed, "track.events: want an array of events")
	}
	if _, known := stages[one.wait]; !known {
		return refuse(0, codeInvalid, "track.wait: "+clipped(one.wait)+" is unknown; want "+stageNames)
	}
	from := len(b.events)
	if refused := b.parseNative(one.events, rules, limits); refused != nil {
		b.drop(from)
		return refused
	}
	for i := from; i < len(b.events); i++ {
		if e := &b.events[i]; e.Session == "" {
			e.Session = one.session
		}
	}
	return nil
}
