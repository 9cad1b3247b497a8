package live

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// ErrNoHealth is what a subscription to the system is answered where nobody
// tells how it is.
var ErrNoHealth = errors.New("this process does not tell how it is")

// system are the subscriptions to how the product is, which is a state. Its
// epoch is this process's and its offset counts the changes that it saw.
type system struct {
	health func(ctx context.Context) []byte // JSON; nil: unknown
	every  time.Duration
	epoch  string
	shared shared

	mu      sync.Mutex
	now     []byte
	changes uint64
	list    []*observer
}

// An observer is a subscription to the system.
type observer struct {
	to   Sink
	over bool
}

// healthEvery is how often the system's parts are asked while somebody listens.
const healthEvery = time.Second

// WatchHealth lets the channel system tell what health returns, JSON, whenever
// that changes. It is called before the first subscription.
func (l *Live) WatchHealth(health func(ctx context.Context) []byte) { l.system.health = health }

func (s *system) init() {
	s.epoch, s.every = uuid.NewString(), healthEvery
	s.shared.init(func(ctx context.Context) (func(context.Context), error) {
		s.look(ctx)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return func(ctx context.Context) {
			for pause(ctx, s.every); ctx.Err() == nil; pause(ctx, s.every) {
				s.look(ctx)
			}
		}, nil
	})
}

// look asks how the system is and tells who listens if that is new.
func (s *system) look(ctx context.Context) {
	now := s.health(ctx)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(now, s.now) {
		return
	}
	s.now = now
	s.changes++
	for _, o := range s.list {
		s.push(o)
	}
}

// push tells an observer how the system is; it is called with mu held.
func (s *system) push(o *observer) {
	if !o.over {
		o.over = !o.to.Push(pushFrame(Channel{kind: kindSystem}, s.changes, s.now))
	}
}

func (s *system) subscribe(ctx context.Context, r Request, to Sink, begun func(Start)) (*Subscription, error) {
	if s.health == nil {
		return nil, ErrNoHealth
	}
	if err := s.shared.enter(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &observer{to: to}
	s.list = append(s.list, o)
	now := Position{Epoch: s.epoch, Offset: s.changes}
	begun(Start{Position: now, Recovered: r.Recover != nil})
	if r.Recover != nil && *r.Recover != now {
		s.push(o)
	}
	return &Subscription{end: func() { s.remove(o) }}, nil
}

func (s *system) remove(o *observer) {
	s.mu.Lock()
	s.list = slices.DeleteFunc(s.list, func(one *observer) bool { return one == o })
	s.mu.Unlock()
	s.shared.leave()
}
