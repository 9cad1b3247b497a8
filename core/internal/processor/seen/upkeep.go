package seen

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"
)

// background is the one goroutine that exchanges runs and generations: it writes full tables, merges, sets aside and removes.
func (s *Set) background(ctx context.Context) {
	defer close(s.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for again := true; again && ctx.Err() == nil; {
			again = s.upkeep(ctx)
		}
	}
}

// upkeep does what is due, one merge at most, and tells whether there may be more.
func (s *Set) upkeep(ctx context.Context) bool {
	if s.flush() != nil {
		return false // the next Record that needs room is told, and asks again
	}
	merged, err := s.mergeNext(ctx)
	err = errors.Join(err, s.setAsideBad(), s.dropExpired())
	if err != nil {
		slog.Error("upkeep of seen ids", "error", err)
	}
	return merged
}

// flush makes a run of the frozen table, and removes its journal.
func (s *Set) flush() error {
	s.mu.RLock()
	frozen := s.frozen
	s.mu.RUnlock()
	if frozen == nil {
		return nil
	}
	r, err := frozen.gen.writeRun(sorted(frozen.table.held()), frozen.journal.seq, s.fsync)

	s.mu.Lock()
	s.failed = err
	if err == nil {
		if r != nil {
			frozen.gen.runs = append(frozen.gen.runs, r)
		}
		s.frozen, s.spare = nil, frozen.table
	}
	tried := s.tried
	s.tried = make(chan struct{})
	s.mu.Unlock()

	close(tried)
	if err != nil {
		return err
	}
	if err := frozen.journal.remove(); err != nil { // the next Open removes it
		slog.Error("remove a journal of seen ids", "error", err)
	}
	return nil
}

// mergeNext merges one pair of runs, if there is one to merge. It tells whether to look for another.
func (s *Set) mergeNext(ctx context.Context) (bool, error) {
	g, i := s.choosePair()
	if g == nil {
		return false, nil
	}
	older, newer := g.runs[i], g.runs[i+1] // only this goroutine changes runs
	merged, err := s.merge(ctx, g, older, newer)
	switch {
	case errors.Is(err, context.Canceled):
		return false, nil
	case errors.Is(err, ErrDamaged):
		return true, s.noteDamage() // the line in the log is that of setting aside
	case err != nil:
		return false, err
	}
	s.mu.Lock()
	g.runs = slices.Replace(g.runs, i, i+2, merged)
	s.mu.Unlock()
	return true, errors.Join(older.remove(), newer.remove())
}

func (s *Set) choosePair() (*generation, int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	held := s.runIDs()
	for _, g := range s.gens {
		sizes := make([]int64, len(g.runs))
		for i, r := range g.runs {
			sizes[i] = r.count
		}
		if i, ok := pair(sizes, held, int64(s.recentIDs)); ok {
			return g, i
		}
	}
	return nil, 0
}

// setAsideBad takes out of use the runs in which a look-up or a merge found damage.
func (s *Set) setAsideBad() error {
	var bad []*run
	s.mu.Lock()
	for _, g := range s.gens {
		g.runs = slices.DeleteFunc(g.runs, func(r *run) bool {
			if r.bad.Load() {
				bad = append(bad, r)
			}
			return r.bad.Load()
		})
	}
	s.mu.Unlock()
	var err error
	for _, r := range bad {
		err = errors.Join(err, r.close(), putAside(r.file.Name(), errors.New("a block failed its checksum")))
	}
	return err
}

// dropExpired removes the generations that have left the window, but not one that is still to be written to.
func (s *Set) dropExpired() error {
	now := s.now()
	s.mu.Lock()
	n := expired(beginnings(s.gens), s.window, now)
	if s.frozen != nil {
		n = min(n, slices.Index(s.gens, s.frozen.gen))
	}
	dropped := slices.Clone(s.gens[:n])
	s.gens = slices.Delete(s.gens, 0, n)
	s.mu.Unlock()
	var err error
	for _, g := range dropped {
		err = errors.Join(err, g.close(), removeGeneration(g.dir))
	}
	return err
}

func beginnings(gens []*generation) []time.Time {
	began := make([]time.Time, len(gens))
	for i, g := range gens {
		began[i] = g.began
	}
	return began
}

// remove deletes a run that nobody looks at any more.
func (r *run) remove() error {
	return errors.Join(r.close(), os.Remove(r.file.Name()))
}
