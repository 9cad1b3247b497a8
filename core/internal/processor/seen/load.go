package seen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func open(dir string, window time.Duration, now func() time.Time, with settings) (*Set, error) {
	if window <= 0 {
		return nil, fmt.Errorf("open the set of seen ids: the window must be positive, not %v", window)
	}
	s := &Set{
		dir: dir, window: window, now: now, settings: with,
		tried: make(chan struct{}), wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if err := s.load(); err != nil {
		if s.live != nil {
			err = errors.Join(err, s.live.journal.close())
		}
		for _, g := range s.gens {
			err = errors.Join(err, g.close())
		}
		return nil, fmt.Errorf("open the set of seen ids in %s: %w", dir, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.background(ctx)
	s.poke() // merges may be due
	return s, nil
}

// load reads the directory. Journals become runs, except the newest, which is continued.
func (s *Set) load() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(s.dir), s.fsync); err != nil {
		return err
	}
	gens, err := s.loadGenerations()
	if err != nil {
		return err
	}
	whole := len(gens) > 0
	if !whole {
		g, err := createGeneration(s.dir, s.now(), s.fsync)
		if err != nil {
			return err
		}
		gens = append(gens, g)
	}
	s.gens = gens
	for i, g := range gens {
		pending, complete, err := g.loadFiles()
		if err != nil {
			return err
		}
		current := i == len(gens)-1
		for _, seq := range pending {
			undamaged, err := s.loadJournal(g, seq, current && seq+1 == g.next)
			if err != nil {
				return err
			}
			complete = complete && undamaged
		}
		whole = whole && complete
	}
	if s.live == nil {
		if err := s.exchange(gens[len(gens)-1]); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, intactMark)); err != nil || !whole {
		return s.forgetIntact()
	}
	s.whole.Store(true)
	return nil
}

// loadGenerations lists the generations, oldest first, and removes those that have left the window.
func (s *Set) loadGenerations() ([]*generation, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var gens []*generation
	for _, e := range entries {
		path := filepath.Join(s.dir, e.Name())
		if strings.HasPrefix(e.Name(), retired) {
			if err := os.RemoveAll(path); err != nil {
				return nil, err
			}
		}
		if began, ok := parseGeneration(e.Name()); ok && e.IsDir() {
			gens = append(gens, &generation{dir: path, began: began})
		}
	}
	slices.SortFunc(gens, func(a, b *generation) int { return a.began.Compare(b.began) })
	now := s.now()
	for i, g := range gens {
		if !now.Before(g.began) {
			continue
		}
		// The clock was set back: count the window from now.
		g.began = now.Add(time.Duration(i))
		path := filepath.Join(s.dir, generationName(g.began))
		if err := os.Rename(g.dir, path); err != nil {
			return nil, err
		}
		g.dir = path
	}
	n := expired(beginnings(gens), s.window, now)
	for _, g := range gens[:n] {
		if err := removeGeneration(g.dir); err != nil {
			return nil, err
		}
	}
	return gens[n:], nil
}

// span is a range of sequence numbers.
type span struct{ lo, hi uint64 }

// loadFiles opens the runs, and returns the journals that no run covers, ascending. It is complete unless a file is missing or damaged.
func (g *generation) loadFiles() (pending []uint64, complete bool, err error) {
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return nil, false, err
	}
	var runs, present []span
	var journals []uint64
	for _, e := range entries {
		name, aside := strings.CutSuffix(e.Name(), setAside)
		if strings.HasSuffix(name, temporary) {
			if err := os.Remove(filepath.Join(g.dir, name)); err != nil {
				return nil, false, err
			}
		}
		if lo, hi, ok := parseRun(name); ok {
			present = append(present, span{lo, hi})
			if !aside {
				runs = append(runs, span{lo, hi})
			}
		}
		if seq, ok := parseJournal(name); ok {
			present = append(present, span{seq, seq})
			journals = append(journals, seq)
		}
	}
	undamaged, err := g.openRuns(runs)
	if err != nil {
		return nil, false, err
	}
	for _, seq := range journals {
		if !g.covers(span{seq, seq}) {
			pending = append(pending, seq)
			continue
		}
		if err := os.Remove(filepath.Join(g.dir, journalName(seq))); err != nil {
			return nil, false, err
		}
	}
	slices.Sort(pending)
	next, contiguous := follow(present)
	g.next = next
	return pending, undamaged && contiguous, nil
}

// openRuns opens those runs that no wider one covers; the others are what a merge left behind. A damaged run is set aside.
func (g *generation) openRuns(runs []span) (undamaged bool, err error) {
	slices.SortFunc(runs, func(a, b span) int { return cmp.Or(cmp.Compare(a.lo, b.lo), -cmp.Compare(a.hi, b.hi)) })
	undamaged = true
	for _, found := range runs {
		path := filepath.Join(g.dir, runName(found.lo, found.hi))
		if g.covers(found) {
			if err := os.Remove(path); err != nil {
				return false, err
			}
			continue
		}
		r, err := openRun(path, found.lo, found.hi)
		if errors.Is(err, ErrDamaged) {
			undamaged = false
			err = putAside(path, err)
		}
		if err != nil {
			return false, err
		}
		if r != nil {
			g.runs = append(g.runs, r)
		}
	}
	return undamaged, nil
}

func (g *generation) covers(s span) bool {
	return slices.ContainsFunc(g.runs, func(r *run) bool { return r.lo <= s.lo && s.hi <= r.hi })
}

// follow returns the number after the last of present, and whether every number before it is present.
func follow(present []span) (next uint64, contiguous bool) {
	slices.SortFunc(present, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	contiguous = true
	for _, p := range present {
		contiguous = contiguous && p.lo <= next
		next = max(next, p.hi+1)
	}
	return next, contiguous
}

// loadJournal makes a run of a journal, or continues it where it is the newest and has room.
func (s *Set) loadJournal(g *generation, seq uint64, newest bool) (undamaged bool, err error) {
	path := filepath.Join(g.dir, journalName(seq))
	data, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	ids, end, damaged := readJournal(data)
	if cut := int64(len(data)) - end; cut > 0 {
		slog.Warn("journal of seen ids cut at a bad record", "file", path, "bytes", cut, "damaged", damaged)
	}
	ids = sorted(ids)
	if newest && len(ids) < s.recentIDs {
		j, err := reopenJournal(path, seq, end)
		if err != nil {
			return false, err
		}
		s.live = &recent{table: newTable(s.recentIDs), journal: j, gen: g}
		for i := range ids {
			s.live.table.add(&ids[i])
		}
		return !damaged, nil
	}
	r, err := g.writeRun(ids, seq, s.fsync)
	if err != nil {
		return false, err
	}
	if r != nil {
		g.runs = append(g.runs, r)
		slices.SortFunc(g.runs, func(a, b *run) int { return cmp.Compare(a.lo, b.lo) })
	}
	return !damaged, os.Remove(path)
}
