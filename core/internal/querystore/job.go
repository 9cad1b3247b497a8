package querystore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrUnderWay says that something is being done already that rules out what was asked
// for; the text around it tells what.
var ErrUnderWay = errors.New("already under way")

var errStopping = errors.New("the server is stopping")

// A Job is what is done with stores by itself, whoever waits for it.
type Job struct {
	What string // what is done, in words
	done chan struct{}
	stop context.CancelFunc // gives it up; nil: it cannot be

	mu         sync.Mutex
	now, total uint64
	err        error
}

func newJob(what string) *Job { return &Job{What: what, done: make(chan struct{})} }

// Progress tells how many messages and documents of how many are done.
func (j *Job) Progress() (now, total uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now, j.total
}

// progress never goes back, and never beyond the total.
func (j *Job) progress(now, total uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.total = max(j.total, total)
	j.now = max(j.now, min(now, j.total))
}

func (j *Job) end(err error) {
	j.mu.Lock()
	j.err = err
	j.mu.Unlock()
	close(j.done)
}

// underWay tells whether the job is not done.
func (j *Job) underWay() bool {
	select {
	case <-j.done:
		return false
	default:
		return true
	}
}

// tellEvery is how often a job's progress is told.
const tellEvery = 50 * time.Millisecond

// Wait returns when the job is done, with what became of it. It goes on by itself where
// the caller's context ends.
func (j *Job) Wait(ctx context.Context, progress func(now, total uint64)) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		progress(j.Progress())
		select {
		case <-j.done:
			progress(j.Progress())
			j.mu.Lock()
			defer j.mu.Unlock()
			return j.err
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; it goes on by itself", j.What, ctx.Err())
		}
	}
}

// underWay is the job that is not done; nil: none.
func (s *Store) underWay() *Job {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.job != nil && s.job.underWay() {
		return s.job
	}
	return nil
}

// free is an error where nothing can be begun. The caller holds mu.
func (s *Store) free() error {
	if s.stopped || s.ctx == nil {
		return errStopping
	}
	if s.job != nil && s.job.underWay() {
		now, total := s.job.Progress()
		return fmt.Errorf("%w: %s, %d of %d done", ErrUnderWay, s.job.What, now, total)
	}
	return nil
}
