package seen

import (
	"fmt"
	"log/slog"
	"path/filepath"
)

// recordBatch bounds the ids of one journal record, and with it the buffer.
const recordBatch = 4096

func (s *Set) record(ids []ID) error {
	s.write.Lock()
	defer s.write.Unlock()
	if lost := s.lost.Load(); lost != nil {
		return *lost
	}
	if err := s.turnLocked(); err != nil {
		return err
	}
	for len(ids) > 0 {
		room := s.live.table.room()
		if room == 0 {
			if err := s.freeze(); err != nil {
				return err
			}
			continue
		}
		batch := ids[:min(len(ids), room, recordBatch)]
		ids = ids[len(batch):]
		s.fresh = s.fresh[:0]
		for i := range batch {
			if !s.inCurrent(&batch[i]) {
				s.fresh = append(s.fresh, batch[i])
			}
		}
		// The journal comes first: what a reader finds is kept.
		if err := s.live.journal.append(s.fresh); err != nil {
			return err
		}
		for i := range s.fresh {
			s.live.table.add(&s.fresh[i])
		}
	}
	return nil
}

// inCurrent tells whether the current generation holds id. An id of an older one is recorded again, because that one leaves the window earlier.
func (s *Set) inCurrent(id *ID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.live.table.has(id) || s.frozen != nil && s.frozen.gen == s.live.gen && s.frozen.table.has(id) {
		return true
	}
	prefix, rest := halves(id)
	found, err := s.live.gen.has(id, prefix, rest)
	if err != nil {
		if err = s.noteDamage(); err != nil {
			slog.Error("note damage to seen ids", "error", err)
		}
		return false // recorded once more, it is in sound hands
	}
	return found
}

// turn starts a new generation where the current one covers a whole window.
func (s *Set) turn() error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.turnLocked()
}

func (s *Set) turnLocked() error {
	if s.live == nil {
		return ErrClosed
	}
	now, current := s.now(), s.live.gen
	if now.Before(current.began) { // the clock was set back: count the window from now
		s.mu.Lock()
		current.began = now
		s.mu.Unlock()
	}
	if now.Sub(current.began) < s.window {
		return nil
	}
	if err := s.awaitRoom(); err != nil {
		return err
	}
	gen, err := createGeneration(s.dir, now, s.fsync)
	if err != nil {
		return err
	}
	return s.exchange(gen)
}

// freeze hands the table in memory to the background goroutine, and starts an empty one.
func (s *Set) freeze() error {
	if err := s.awaitRoom(); err != nil {
		return err
	}
	return s.exchange(s.live.gen)
}

// awaitRoom waits until no table is being written. It fails where writing the last one does.
func (s *Set) awaitRoom() error {
	for waited := false; ; waited = true {
		s.mu.RLock()
		busy, tried, err := s.frozen != nil, s.tried, s.failed
		s.mu.RUnlock()
		switch {
		case !busy:
			return nil
		case waited && err != nil:
			return err
		}
		s.poke()
		<-tried
	}
}

// exchange makes the table in memory the frozen one, and starts an empty one in gen.
func (s *Set) exchange(gen *generation) error {
	path := filepath.Join(gen.dir, journalName(gen.next))
	journal, err := createJournal(path, gen.next)
	if err != nil {
		return fmt.Errorf("start a journal: %w", err)
	}
	gen.next++

	table := s.takeTable()
	s.mu.Lock()
	s.frozen = s.live
	s.live = &recent{table: table, journal: journal, gen: gen}
	if gen != s.gens[len(s.gens)-1] {
		s.gens = append(s.gens, gen)
	}
	s.mu.Unlock()
	s.poke()
	return nil
}

// takeTable returns an empty table, the last one again where nobody looks at it any more.
func (s *Set) takeTable() *table {
	s.mu.Lock()
	t := s.spare
	s.spare = nil
	s.mu.Unlock()
	if t == nil {
		return newTable(s.recentIDs)
	}
	t.reset()
	return t
}
