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

	answered  bool     // with an ack or a refusal
	from, end int      // its events, in the batch that it was read into
	ids       []string // of its events, where they may be stored already
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

// attempt takes tracks in. Where that fails in a way that nobody has foreseen, and it
// is known what became of them, they are answered so: what is stored is not to be
// sent again. Otherwise each is tried by itself, so that one does not cost the others.
func (t *tracks) attempt(list []track) {
	g := t.socket.g
	b := newBatch(g.now(), &g.limits)
	if t.survives(func() { t.take(list, b) }) {
		return
	}
	b.keep = true
	for i := range list {
		one := &list[i]
		switch {
		case b.known:
			t.conclude(one, b)
		case one.answered:
		case len(list) == 1:
			t.refuse(one, errFailed)
		default:
			one.remember(b)
			t.attempt(list[i : i+1])
		}
	}
}

// conclude answers a track, if it has no answer yet, whose batch the bus has answered.
func (t *tracks) conclude(one *track, b *batch) {
	if one.answered {
		return
	}
	acknowledged := false
	if !t.survives(func() { acknowledged = t.acknowledge(one, b) }) {
		t.refuse(one, errFailed)
	}
	if acknowledged && one.wait != "" {
		t.unawaited(one.id, b)
	}
}

// remember keeps the ids that the events of a track were given: should they be stored,
// they are not stored a second time.
func (one *track) remember(b *batch) {
	for i := one.from; i < one.end; i++ {
		one.ids = append(one.ids, b.events[i].ID)
	}
}

// errFailed answers a track that would fail again: its client is not to repeat it.
var errFailed = refuse(http.StatusInternalServerError, codeFailed, "the gateway failed on these events; see its log")

// survives tells whether something was done to its end.
func (t *tracks) survives(do func()) (ok bool) {
	defer func() {
		if reason := recover(); reason != nil {
			t.socket.g.log.Error("tracks of a WebSocket connection failed", "reason", reason, "stack", string(debug.Stack()))
		}
	}()
	do()
	return true
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

// take takes the tracks in as one batch, which it releases, and answers each.
func (t *tracks) take(list []track, b *batch) {
	s, g := t.socket, t.socket.g
	var waiter *waiter
	waits := false // then who waits forgets the waiter and releases the batch
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
		t.answer(list, b, refused)
		b.release()
		return
	}
	b.sender = s.sender
	for i := range list {
		if refused := b.parseTrack(&list[i], rules, &g.limits); refused != nil {
			t.refuse(&list[i], refused)
		}
	}
	one := list[0]
	if until == stored || one.answered {
		t.answer(list, b, g.intake(context.Background(), source, rules, b, nil))
		b.release()
		return
	}
	waiter = g.waiters.register(len(b.events), until)
	refused = g.intake(context.Background(), source, rules, b, waiter)
	if refused == nil && refusedForNow(b.events) {
		refused = nothingStored
	}
	t.answer(list, b, refused)
	if refused != nil {
		b.release()
		return
	}
	if t.waits == nil { // one works on tracks at a time
		t.waits = make(chan struct{}, maxWaits)
	}
	t.waits <- struct{}{}
	waits = true
	one.message.keep()
	t.work.Go(func() {
		defer one.message.leave()
		defer func() { <-t.waits }()
		defer g.waiters.forget(waiter)
		if !t.survives(func() {
			form := replyForm{waited: true, late: !g.await(s.ctx, b, waiter, until)}
			s.send(resultFrame(one.id, b.events, form))
		}) {
			t.unawaited(one.id, b)
		}
		b.release()
	})
}

// unawaited answers a track whose outcomes cannot be told with what is known: what
// is stored. Its batch is not used again.
func (t *tracks) unawaited(id int64, b *batch) {
	b.keep = true
	b.forgetOutcomes()
	if !t.survives(func() { t.socket.send(resultFrame(id, b.events, replyForm{waited: true, late: true})) }) {
		t.socket.refuse(id, errFailed)
	}
}

func (s *socket) writeKey() string {
	if key := s.key.Load(); key != nil {
		return *key
	}
	return ""
}

func (t *tracks) refuse(one *track, refused *refusal) {
	t.socket.refuse(one.id, refused)
	one.answered = true
}

// answer answers each track that has no answer yet.
func (t *tracks) answer(list []track, b *batch, refused *refusal) {
	for i := range list {
		switch one := &list[i]; {
		case one.answered:
		case refused != nil:
			t.refuse(one, refused)
		default:
			t.acknowledge(one, b)
		}
	}
}

// acknowledge answers a track with the results of its own events. It is false where
// they are all to be sent again.
func (t *tracks) acknowledge(one *track, b *batch) bool {
	events := b.events[one.from:one.end]
	if refusedForNow(events) {
		t.refuse(one, nothingStored)
		return false
	}
	t.socket.send(ackFrame(one.id, events))
	one.answered = true
	return true
}

// parseTrack adds the events of a track to the batch. Where it refuses them,
// it leaves none there.
func (b *batch) parseTrack(one *track, rules *rules, limits *Limits) *refusal {
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
	one.from, one.end = from, len(b.events)
	for i := range b.events[from:] {
		e := &b.events[from+i]
		if e.Session == "" {
			e.Session = one.session
		}
		if e.ID == "" && i < len(one.ids) {
			e.ID = one.ids[i]
		}
	}
	return nil
}
