// Package sqlite is the query store in one SQLite file. It needs no server and
// no cgo, and holds millions of documents on one machine.
//
// A batch and the position it leads to are one transaction. A power cut can
// take the last transactions back, never a part of one: the store then stands
// at an earlier position, and the indexer goes on from there.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// Options say where the store lies.
type Options struct {
	Path string // of the file; its directory is made where it is missing
	Log  *slog.Logger
	// Now tells conditions what now is; nil: [time.Now].
	Now func() time.Time
}

// A Store is a [store.Store] in a file. While the file cannot be used (gone,
// read only, disk full, replaced) every method answers [store.ErrUnavailable];
// each call tries again, so it recovers by itself.
type Store struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	mu     sync.RWMutex // held for reading by every use of file
	file   *file        // nil while it cannot be opened
	last   os.FileInfo  // the file that was open last, whose WAL may lie there
	closed bool

	// writing is why the last write failed, nil where it did not: a full disk
	// is none that a reader meets.
	writing atomic.Pointer[error]
}

var _ store.Store = (*Store)(nil)

// Open opens the store, or makes it where there is none. What is no store of
// ours, or is damaged, is refused with [store.ErrBroken] and left alone; the
// store comes back all the same, for [Store.Reset] to make a new one there.
func Open(ctx context.Context, o Options) (*Store, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Path, err)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{path: path, log: o.Log, now: o.Now}
	s.file, err = openFile(ctx, path)
	if err == nil {
		s.last = s.file.info
		return s, nil
	}
	if !errors.Is(err, store.ErrBroken) {
		return nil, err
	}
	// The log beside it is its own, until something else lies there.
	s.file = nil
	if s.last, _ = os.Stat(path); s.last == nil {
		return nil, err
	}
	return s, err
}

// Discard makes room for a new store at the path: what lies there is renamed,
// not deleted, and the new name is returned; empty where nothing was there. No
// process may have the store open.
func Discard(path string, now time.Time) (string, error) {
	aside := path + ".broken-" + now.UTC().Format("20060102T150405")
	if _, err := os.Lstat(aside); err == nil {
		return "", fmt.Errorf("discard store %s: %s is there already; wait a second and try again", path, aside)
	}
	if err := removeLog(path); err != nil {
		return "", fmt.Errorf("discard store %s: %w", path, err)
	}
	if err := os.Rename(path, aside); errors.Is(err, os.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("discard store %s: %w", path, err)
	}
	return aside, nil
}

// Reset implements [store.Keeper]. A file that is damaged is renamed and a new
// one takes its place.
func (s *Store) Reset(ctx context.Context) error {
	err := s.write(ctx, "reset store", func(ctx context.Context, w *writer) error {
		return w.exec(ctx, dropSchema+createSchema)
	})
	if !errors.Is(err, store.ErrBroken) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.letGo()
	aside, err := Discard(s.path, s.now())
	if err != nil {
		return err
	}
	s.log.Warn("the store was broken; a new one takes its place", "store", s.path, "renamed", aside)
	return s.reopen(ctx)
}

// Health implements [store.Keeper].
func (s *Store) Health(ctx context.Context) error {
	if _, err := s.Position(ctx); err != nil {
		return err
	}
	if failed := s.writing.Load(); failed != nil {
		return *failed
	}
	return nil
}

// Close implements [store.Keeper].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.file == nil {
		return nil
	}
	err := s.file.close()
	s.file = nil
	if err != nil {
		return fmt.Errorf("close store %s: %w", s.path, err)
	}
	return nil
}

var errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)

// use calls f with the open file, opening it first where need be. Errors that
// mean the file cannot be used come back as [store.ErrUnavailable].
func (s *Store) use(ctx context.Context, doing string, f func(*file) error) error {
	for {
		s.mu.RLock()
		if s.closed {
			s.mu.RUnlock()
			return errClosed
		}
		if s.file != nil && s.file.usable() {
			current := s.file
			err := f(current)
			s.mu.RUnlock()
			return current.explain(ctx, doing, err)
		}
		s.mu.RUnlock()
		if err := s.recover(ctx); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
}

// recover opens the file again, once all others have let go of it.
func (s *Store) recover(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if s.file != nil && s.file.usable() {
		return nil
	}
	s.letGo()
	return s.reopen(ctx)
}

func (s *Store) letGo() {
	if s.file == nil {
		return
	}
	if err := s.file.close(); err != nil {
		s.log.Warn("close store", "store", s.path, "error", err)
	}
	s.file = nil
}

func (s *Store) reopen(ctx context.Context) error {
	// The write-ahead log beside a file that is not the one it was written for
	// would be played into it.
	if info, err := os.Stat(s.path); err != nil || !os.SameFile(info, s.last) {
		if err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%w: %s is no file", store.ErrUnavailable, s.path)
		}
		if err == nil || errors.Is(err, os.ErrNotExist) {
			if err := removeLog(s.path); err != nil {
				return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
			}
		}
	}
	file, err := openFile(ctx, s.path)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	s.file, s.last = file, file.info
	s.writing.Store(nil)
	s.log.Info("the store is open again", "store", s.path)
	return nil
}

func removeLog(path string) error {
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the log of a store that is gone: %w", err)
		}
	}
	return nil
}

// Remove deletes the files of a store that no process has open.
func Remove(path string) error {
	if err := removeLog(path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove store %s: %w", path, err)
	}
	return nil
}
