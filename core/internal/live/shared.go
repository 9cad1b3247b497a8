package live

import (
	"context"
	"sync"
)

// A shared is what runs while there is somebody who needs it.
type shared struct {
	// start prepares what runs, before the first one is let in.
	start func(ctx context.Context) (run func(context.Context), err error)

	mu   sync.Mutex
	n    int
	stop func() // and waits
}

// enter returns when it runs.
func (s *shared) enter(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
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
	s.n++
	return nil
}

// leave stops it where nobody is left.
func (s *shared) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n--; s.n == 0 {
		s.stop()
		s.stop = nil
	}
}

func (s *shared) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}
