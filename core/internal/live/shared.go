package live

import (
	"context"
	"sync/atomic"
)

// A shared is what runs while there is somebody who needs it.
type shared struct {
	// start prepares what runs, before the first one is let in.
	start func(ctx context.Context) (run func(context.Context), err error)
	// turn is of whoever starts or stops it, which may take as long as the bus
	// does not answer.
	turn chan struct{}
	stop func() // and waits; of whose turn it is
	n    atomic.Int64
}

func (s *shared) init(start func(context.Context) (func(context.Context), error)) {
	s.start, s.turn = start, make(chan struct{}, 1)
}

// enter returns when it runs, or when the context has ended.
func (s *shared) enter(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.stop == nil {
		run, err := s.start(ctx)
		if err != nil {
			return err
		}
		running, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan struct{})
		go func() {
			defer close(done)
			run(running)
		}()
		s.stop = func() { cancel(); <-done }
	}
	s.n.Add(1)
	return nil
}

// leave stops it where nobody is left. Nobody starts it at that time: it runs.
func (s *shared) leave() {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.n.Add(-1) == 0 {
		s.stop()
		s.stop = nil
	}
}

func (s *shared) count() int { return int(s.n.Load()) }
