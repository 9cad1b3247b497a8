package live

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// ErrFlows is what a subscription to a flow is answered where too many others are
// listened to.
var ErrFlows = errors.New("too many flows are listened to at this node")

// flows are the subscriptions to what the runs of flows do, step by step. The bus
// keeps no steps: those of a flow are held in a window while somebody listens to
// it, and for a while after, so that whoever comes back soon misses none. The epoch
// is that window's, and the offset counts the steps that came to it.
type flows struct {
	source Source
	linger time.Duration
	// turn is of whoever begins to follow a flow, which may take as long as the
	// bus does not answer.
	turn chan struct{}

	mu   sync.Mutex
	byID map[string]*steps
}

const (
	// flowLinger is how long a flow that nobody listens to any more is followed.
	flowLinger = 30 * time.Second
	// maxFlows bounds the flows that are followed at a time.
	maxFlows = 1000
)

// stepWindow bounds the steps of a flow that are held.
var stepWindow = windowSize{events: 1024, bytes: 256 << 10}

// steps are one flow's, for all who listen to it.
type steps struct {
	epoch string
	stop  func()
	// Under the lock of flows:
	users int
	idle  *time.Timer // ends it; nil: it has had users all the time

	mu     sync.Mutex
	push   Channel
	size   windowSize
	frames [][]byte
	bytes  int
	end    uint64 // the last frame's offset
	list   []*viewer
}

// A viewer is a subscription to a flow.
type viewer struct {
	to   Sink
	at   uint64 // up to here all has been pushed
	over bool
}

func (f *flows) init(source Source) {
	f.source, f.linger, f.byID, f.turn = source, flowLinger, map[string]*steps{}, make(chan struct{}, 1)
}

func (f *flows) subscribe(ctx context.Context, r Request, to Sink, begun func(Start)) (*Subscription, error) {
	s, err := f.enter(ctx, r.Channel)
	if err != nil {
		return nil, err
	}
	v := &viewer{to: to}
	s.mu.Lock()
	start := s.place(r.Recover)
	v.at = start.Offset
	begun(start)
	joined := s.join(v)
	s.mu.Unlock()
	if joined {
		return &Subscription{end: func() { s.remove(v); f.leave(s) }}, nil
	}
	catching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.catchUp(catching, v)
	}()
	return &Subscription{end: func() { cancel(); <-done; s.remove(v); f.leave(s) }}, nil
}

// enter returns the steps of a flow, which come from then on, or when the context
// has ended.
func (f *flows) enter(ctx context.Context, c Channel) (*steps, error) {
	if s := f.join(c.id); s != nil {
		return s, nil
	}
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s := f.join(c.id)
	switch {
	case s != nil: // somebody else was faster
		return s, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case !f.room():
		return nil, ErrFlows
	}
	s = &steps{epoch: uuid.NewString(), push: c, size: stepWindow, users: 1}
	var err error
	if s.stop, err = f.source.ListenSteps(c.id, s.take, s.lost); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byID[c.id] = s
	return s, nil
}

// join is one more who listens to a flow that is followed; nil where it is not.
func (f *flows) join(id string) *steps {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.byID[id]
	if s != nil {
		s.users++
	}
	return s
}

// room tells whether one more flow may be followed.
func (f *flows) room() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.byID) < maxFlows || f.makeRoom()
}

// leave ends the following of a flow some time after the last one has gone.
func (f *flows) leave(s *steps) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	if s.idle == nil {
		s.idle = time.AfterFunc(f.linger, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.forget(s)
		})
	} else {
		s.idle.Reset(f.linger)
	}
}

// forget ends the following of a flow, unless somebody has come back; f.mu is held.
func (f *flows) forget(s *steps) bool {
	if s.users > 0 || f.byID[s.push.id] != s {
		return false
	}
	delete(f.byID, s.push.id)
	s.idle.Stop()
	s.stop()
	return true
}

// makeRoom forgets one of those that nobody listens to; f.mu is held.
func (f *flows) makeRoom() bool {
	for _, s := range f.byID {
		if f.forget(s) {
			return true
		}
	}
	return false
}

// count is how many subscriptions there are.
func (f *flows) count() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.byID {
		n += s.users
	}
	return n
}

// take pushes a step to everybody.
func (s *steps) take(step []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end++
	frame := pushFrame(s.push, s.end, step)
	s.frames = append(s.frames, frame)
	s.bytes += len(frame)
	for len(s.frames) > s.size.events || s.bytes > s.size.bytes && len(s.frames) > 1 {
		s.bytes -= len(s.frames[0])
		s.frames[0] = nil
		s.frames = s.frames[1:]
	}
	for _, v := range s.list {
		v.push(frame, s.end)
	}
}

// lost ends all subscriptions that have joined: steps are missing. Nothing before
// them can be gone on from; what is catching up finds that out.
func (s *steps) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end++ // for what is missing
	s.frames, s.bytes = nil, 0
	for _, v := range s.list {
		v.lost("steps were lost before they could be pushed")
	}
}

// from is the offset behind which all is held.
func (s *steps) from() uint64 { return s.end - uint64(len(s.frames)) }

// place decides where a subscription begins.
func (s *steps) place(from *Position) Start {
	now := Start{Position: Position{Epoch: s.epoch, Offset: s.end}}
	switch {
	case from == nil:
	case from.Offset == 0: // all that is held, which is all that there was for who knows no epoch
		now.Offset = s.from()
		now.Recovered = from.Epoch == "" || from.Epoch == s.epoch && now.Offset == 0
	case from.Epoch == s.epoch && from.Offset >= s.from() && from.Offset <= s.end:
		now.Offset, now.Recovered = from.Offset, true
	}
	return now
}

// join gives a subscription what it misses and puts it among those that are pushed
// to; where it misses much it is given some of it, and the answer is false. s.mu is
// held.
func (s *steps) join(v *viewer) bool {
	if v.at < s.from() {
		v.lost("steps were dropped before they could be pushed")
		return true
	}
	given, bytes := 0, 0
	for _, frame := range s.frames[v.at-s.from():] {
		if given++; given > joinEvents || bytes > joinBytes {
			return false
		}
		bytes += len(frame)
		if v.push(frame, v.at+1); v.over {
			return true
		}
	}
	s.list = append(s.list, v)
	return true
}

// catchUp lets a subscription join at the pace of its listener.
func (s *steps) catchUp(ctx context.Context, v *viewer) {
	for joined := false; !joined && ctx.Err() == nil; {
		if !v.to.Room(ctx, roomWait) {
			continue
		}
		s.mu.Lock()
		joined = s.join(v)
		s.mu.Unlock()
	}
}

func (s *steps) remove(v *viewer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(one *viewer) bool { return one == v })
}

func (v *viewer) push(frame []byte, offset uint64) {
	if !v.over {
		v.at, v.over = offset, !v.to.Push(frame)
	}
}

func (v *viewer) lost(why string) {
	if !v.over {
		v.over = true
		v.to.Lost(why)
	}
}
