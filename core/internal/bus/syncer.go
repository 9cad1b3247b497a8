package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// A syncer makes a stream of the embedded server durable: it fsyncs the files
// that the server has written. The server's layout is DIR/msgs/N.blk, with N
// growing: messages are appended to the last one.
type syncer struct {
	dir   string // the stream's
	fsync func(*os.File) error

	mu    sync.Mutex // of tail
	last  *os.File   // the newest block known
	index int

	allMu sync.Mutex // of all
	known map[string]os.FileInfo
}

func newSyncer(dir string, fsync func(*os.File) error) *syncer {
	return &syncer{dir: dir, fsync: fsync}
}

func (s *syncer) blocks() string { return filepath.Join(s.dir, "msgs") }

func (s *syncer) block(index int) string {
	return filepath.Join(s.blocks(), strconv.Itoa(index)+".blk")
}

// tail makes durable what was appended since the last call: the newest block
// and those begun meanwhile, and the directory where a file is new. The first
// call looks at all of them.
func (s *syncer) tail() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	renewed := false
	for {
		if s.last == nil {
			if err := s.all(); err != nil {
				return err
			}
			if err := s.open(); err != nil || s.last == nil {
				return err
			}
			renewed = true
		}
		// Whatever was acknowledged before this call is in files that exist
		// by now, so a next one is looked for before the sync.
		next, err := os.Open(s.block(s.index + 1))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("open the next block of %s: %w", s.dir, err)
		}
		if err := s.fsync(s.last); err != nil {
			return fmt.Errorf("fsync %s: %w", s.last.Name(), err)
		}
		if next != nil {
			s.close()
			s.last, s.index, renewed = next, s.index+1, true
			continue
		}
		// A purge replaces the file by a shorter one, or removes it.
		same, err := s.same()
		if err != nil {
			return err
		}
		if same {
			break
		}
		s.close()
	}
	if renewed {
		return s.syncDirs()
	}
	return nil
}

// all makes durable every block that changed since the last call, and the
// directories where the set of files did.
func (s *syncer) all() error {
	s.allMu.Lock()
	defer s.allMu.Unlock()
	entries, err := os.ReadDir(s.blocks())
	if err != nil {
		return fmt.Errorf("list the blocks of %s: %w", s.dir, err)
	}
	known := make(map[string]os.FileInfo, len(s.known))
	renewed := s.known == nil
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".blk") {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			renewed = true
			continue
		}
		if err != nil {
			return fmt.Errorf("look at %s of %s: %w", name, s.dir, err)
		}
		old := s.known[name]
		if old != nil && os.SameFile(old, info) && old.Size() == info.Size() && old.ModTime().Equal(info.ModTime()) {
			known[name] = old
			continue
		}
		renewed = renewed || old == nil || !os.SameFile(old, info)
		if err := s.syncPath(filepath.Join(s.blocks(), name)); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				renewed = true
				continue
			}
			return err
		}
		known[name] = info
	}
	if renewed || len(known) != len(s.known) {
		if err := s.syncDirs(); err != nil {
			return err
		}
	}
	s.known = known
	return nil
}

// open finds the newest block; last stays nil where there is none.
func (s *syncer) open() error {
	entries, err := os.ReadDir(s.blocks())
	if err != nil {
		return fmt.Errorf("list the blocks of %s: %w", s.dir, err)
	}
	newest := -1
	for _, entry := range entries {
		number, ok := strings.CutSuffix(entry.Name(), ".blk")
		if n, err := strconv.Atoi(number); ok && err == nil {
			newest = max(newest, n)
		}
	}
	if newest < 0 {
		return nil
	}
	f, err := os.Open(s.block(newest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the newest block of %s: %w", s.dir, err)
	}
	s.last, s.index = f, newest
	return nil
}

// same is true where the newest block known is still the file of its name.
func (s *syncer) same() (bool, error) {
	opened, err := s.last.Stat()
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", s.last.Name(), err)
	}
	named, err := os.Stat(s.block(s.index))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", s.last.Name(), err)
	}
	return os.SameFile(opened, named), nil
}

func (s *syncer) close() {
	if s.last != nil {
		s.last.Close() // read only: nothing of ours can be lost
		s.last = nil
	}
}

// stop lets go of the file that is open.
func (s *syncer) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close()
}

func (s *syncer) syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.fsync(f); err != nil {
		return fmt.Errorf("fsync %s: %w", path, err)
	}
	return nil
}

// syncDirs covers the directory of the blocks too, which a purge of everything
// replaces.
func (s *syncer) syncDirs() error {
	if err := s.syncDir(s.blocks()); err != nil {
		return err
	}
	return s.syncDir(s.dir)
}

func (s *syncer) syncDir(path string) error {
	err := s.syncPath(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("fsync %s: %w", path, err)
	}
	return err
}

// syncTree makes durable every file below dir, and all directories: once,
// after streams were created.
func syncTree(dir string, fsync func(*os.File) error) error {
	s := syncer{fsync: fsync}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if !entry.IsDir() && !entry.Type().IsRegular() {
			return nil
		}
		if err := s.syncPath(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// A shared lets many callers wait for one run of f: each returns after a run
// that began after it was called.
type shared struct {
	f func() error

	mu      sync.Mutex
	done    *sync.Cond
	running bool
	begun   uint64 // runs begun
	ended   uint64 // runs ended
	err     error  // of the last run
}

func newShared(f func() error) *shared {
	s := &shared{f: f}
	s.done = sync.NewCond(&s.mu)
	return s
}

func (s *shared) do() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := s.begun + 1
	for s.ended < want {
		if s.running {
			s.done.Wait()
			continue
		}
		s.running = true
		s.begun++
		s.mu.Unlock()
		err := s.f()
		s.mu.Lock()
		s.running, s.ended, s.err = false, s.begun, err
		s.done.Broadcast()
	}
	return s.err
}

// unsynced counts what this node changed in a stream, and up to which change it
// is known to be durable.
type unsynced struct{ changes, synced atomic.Uint64 }

// sync calls do where there were changes since the last time, which makes durable
// what was changed before the call.
func (u *unsynced) sync(do func() error) error {
	changes := u.changes.Load()
	if changes <= u.synced.Load() {
		return nil
	}
	if err := do(); err != nil {
		return err
	}
	for {
		synced := u.synced.Load()
		if changes <= synced || u.synced.CompareAndSwap(synced, changes) {
			return nil
		}
	}
}
