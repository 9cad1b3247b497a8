// Package seen remembers which ids this node has applied, so that a repeated one is recognised.
//
// A Set holds 128-bit ids, which must be uniformly distributed (hashes), for at least a window of time, on disk, in bounded memory.
// New ids go to a journal and to a table in memory. A full table becomes an immutable sorted file, a run; runs of like size are merged in the background.
// Runs belong to a generation, which covers one window of time; a generation whose newest id has left the window is removed as a whole.
//
// What Record was given survives the end of the process, however it ends; what was recorded before Sync also survives a power cut.
// A directory belongs to one Set at a time.
package seen

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// ID is what a Set holds: 128 uniformly distributed bits.
type ID = [16]byte

var (
	// ErrClosed is returned by every method of a closed Set.
	ErrClosed = errors.New("the set of seen ids is closed")

	// ErrDamaged is returned, once, by the look-up that came upon a damaged file.
	// The file has been set aside: from then on look-ups answer from the others and Intact is false.
	ErrDamaged = errors.New("damaged file of seen ids")
)

// Set is a set of ids. Its methods may be called concurrently.
type Set struct {
	dir    string
	window time.Duration
	now    func() time.Time
	settings

	write sync.Mutex // held by whoever records; guards live against replacement
	fresh []ID       // what one batch adds

	mu     sync.RWMutex // held exclusively only to exchange what follows, never during I/O
	live   *recent      // takes new ids; nil once closed
	frozen *recent      // is being written as a run; nil if none
	gens   []*generation
	spare  *table
	tried  chan struct{} // closed after each attempt at writing frozen
	failed error         // why the last attempt at writing frozen failed

	reserved reservations

	whole   atomic.Bool           // what Intact reports
	damages atomic.Int64          // damages found so far
	lost    atomic.Pointer[error] // the fsync that failed

	wake chan struct{}
	stop context.CancelFunc
	done chan struct{} // closed when the background goroutine has ended
}

// settings are what tests choose differently.
type settings struct {
	recentIDs int                  // ids that the table in memory holds
	fsync     func(*os.File) error // every fsync of a file or a directory goes through it
}

// recent is the table in memory with the journal that keeps it.
type recent struct {
	table   *table
	journal *journal
	gen     *generation
}

// Open opens the set in dir, which it creates where needed. Ids recorded less than window ago are found; older ones may be.
// A damaged file is set aside with a line in the log, and Intact is false. An error means that the directory cannot be used at all.
func Open(dir string, window time.Duration, now func() time.Time) (*Set, error) {
	return open(dir, window, now, settings{recentIDs: 1 << 18, fsync: (*os.File).Sync})
}

// Has tells whether id was recorded. An id that is only reserved was not.
func (s *Set) Has(id ID) (bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.live == nil {
		return false, ErrClosed
	}
	if s.live.table.has(&id) || s.frozen != nil && s.frozen.table.has(&id) {
		return true, nil
	}
	prefix, rest := halves(&id)
	for i := len(s.gens) - 1; i >= 0; i-- {
		found, err := s.gens[i].has(&id, prefix, rest)
		if err != nil {
			return false, errors.Join(err, s.noteDamage())
		}
		if found {
			return true, nil
		}
	}
	return false, nil
}

// Reserve claims id until Record or Release. It answers false where id was recorded, or is reserved.
// Of concurrent calls with the same id at most one gets true.
func (s *Set) Reserve(id ID) (bool, error) {
	return s.reserved.claim(id, s.Has)
}

// Release gives up reservations. Ids that are not reserved are ignored.
func (s *Set) Release(ids []ID) { s.reserved.drop(ids) }

// Record adds ids, and drops their reservations. Repeating it changes nothing but the time from which the window counts.
// When it returns nil, the ids are found and survive the end of the process. On an error some may have been added, and all reservations stand.
func (s *Set) Record(ids []ID) error {
	if err := s.record(ids); err != nil {
		return fmt.Errorf("record seen ids: %w", err)
	}
	s.reserved.drop(ids)
	return nil
}

// Sync makes what was recorded before the call survive a power cut. It does nothing where nothing was recorded since the last.
// A failed fsync is final: the operating system may have dropped what it could not write, so every later Sync and Record fails too.
func (s *Set) Sync() error {
	if err := errors.Join(s.syncJournals(), s.turn()); err != nil {
		return fmt.Errorf("sync seen ids: %w", err)
	}
	return nil
}

// Len counts the ids held. One that was recorded in two generations counts twice.
func (s *Set) Len() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.runIDs()
	for _, r := range []*recent{s.live, s.frozen} {
		if r != nil {
			n += r.table.len()
		}
	}
	return n
}

// Intact is false where ids recorded within the window may be missing: in a new directory, and after damage to a file.
// Rebuild makes it true.
func (s *Set) Intact() bool { return s.whole.Load() }

// Rebuild calls fill, which records again every id of the window, and afterwards declares the set intact, across restarts too.
func (s *Set) Rebuild(fill func() error) error {
	before := s.damages.Load()
	if err := fill(); err != nil {
		return fmt.Errorf("rebuild seen ids: %w", err)
	}
	if err := s.Sync(); err != nil {
		return fmt.Errorf("rebuild seen ids: %w", err)
	}
	if err := s.declareIntact(before); err != nil {
		return fmt.Errorf("rebuild seen ids: %w", err)
	}
	return nil
}

// Close syncs, ends the background work and closes the files.
func (s *Set) Close() error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.live == nil {
		return nil
	}
	s.stop()
	<-s.done
	err := s.syncJournals()

	s.mu.Lock()
	live, frozen, gens := s.live, s.frozen, s.gens
	s.live, s.frozen, s.gens = nil, nil, nil
	s.mu.Unlock()

	err = errors.Join(err, live.journal.close())
	if frozen != nil {
		err = errors.Join(err, frozen.journal.close())
	}
	for _, g := range gens {
		err = errors.Join(err, g.close())
	}
	if err != nil {
		return fmt.Errorf("close seen ids: %w", err)
	}
	return nil
}

// runIDs counts the ids in runs. The caller holds mu.
func (s *Set) runIDs() int64 {
	var n int64
	for _, g := range s.gens {
		for _, r := range g.runs {
			n += r.count
		}
	}
	return n
}

// syncJournals makes the journals of both tables durable. One that was closed meanwhile has become a run, which is.
func (s *Set) syncJournals() error {
	if lost := s.lost.Load(); lost != nil {
		return *lost
	}
	s.mu.RLock()
	live, frozen := s.live, s.frozen
	s.mu.RUnlock()
	if live == nil {
		return ErrClosed
	}
	for _, r := range []*recent{frozen, live} {
		if r == nil {
			continue
		}
		if err := r.journal.sync(s.fsync); err != nil {
			s.lost.CompareAndSwap(nil, &err)
			return err
		}
	}
	return nil
}

// noteDamage notes that ids are missing, and has the background goroutine set aside the runs that are marked as bad.
func (s *Set) noteDamage() error {
	s.damages.Add(1)
	s.whole.Store(false)
	s.poke()
	return s.forgetIntact()
}

// The mark is there only while the set is intact, so that neither a crash during a rebuild nor a deleted directory passes for a whole set.
const intactMark = "intact"

func (s *Set) declareIntact(damages int64) error {
	path := filepath.Join(s.dir, intactMark)
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(s.fsync(file), file.Close(), syncDir(s.dir, s.fsync)); err != nil {
		return err
	}
	s.whole.Store(true)
	if s.damages.Load() == damages {
		return nil
	}
	s.whole.Store(false)
	return errors.Join(errors.New("a file was found damaged meanwhile: rebuild again"), s.forgetIntact())
}

func (s *Set) forgetIntact() error {
	if err := os.Remove(filepath.Join(s.dir, intactMark)); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	return syncDir(s.dir, s.fsync)
}

func (s *Set) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
