package seen

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRecordAndReserve(t *testing.T) {
	s := mustOpen(t, t.TempDir(), time.Now, small())
	a, b := idOf(1), idOf(2)

	reserve := func(id ID, want bool) {
		t.Helper()
		if got, err := s.Reserve(id); err != nil || got != want {
			t.Fatalf("Reserve = %v, %v, want %v", got, err, want)
		}
	}
	reserve(a, true)
	reserve(a, false)
	mustHave(t, s, false, a)
	s.Release([]ID{a, b})
	reserve(a, true)
	mustRecord(t, s, a, b, a)
	mustHave(t, s, true, a, b)
	reserve(a, false)
	reserve(b, false)
	s.Release([]ID{a})
	reserve(a, false)
	mustRecord(t, s, a)
	if n := s.Len(); n != 2 {
		t.Errorf("Len = %d, want 2", n)
	}
}

func TestRecordedIDsAreFoundInEveryPlace(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, time.Now, small())
	const n = 64*37 + 11
	for i := uint64(0); i < n; i += 7 {
		mustRecord(t, s, idsOf(i, min(i+7, n))...)
	}
	check := func(s *Set) {
		t.Helper()
		mustHave(t, s, true, idsOf(0, n)...)
		mustHave(t, s, false, idsOf(n, 3*n)...)
		if got := s.Len(); got != n {
			t.Errorf("Len = %d, want %d", got, n)
		}
	}
	check(s)
	settle(t, s)
	check(s)
	if runs := len(s.gens[0].runs); runs > 8 {
		t.Errorf("%d runs, want at most 8", runs)
	}
	mustRecord(t, s, idsOf(0, n)...) // again: changes nothing
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(mustOpen(t, dir, time.Now, small()))
}

// Ids that are not spread evenly are outside the contract; they cost time, not truth.
func TestUnevenIDs(t *testing.T) {
	s := mustOpen(t, t.TempDir(), time.Now, small())
	var even, odd []ID
	for i := range 2000 {
		id := ID{0: byte(i % 3), 14: byte(i >> 8), 15: byte(i)}
		if i%2 == 0 {
			even = append(even, id)
		} else {
			odd = append(odd, id)
		}
	}
	mustRecord(t, s, even...)
	settle(t, s)
	mustHave(t, s, true, even...)
	mustHave(t, s, false, odd...)
	mustHave(t, s, false, ID{0: 255})
}

func TestRotation(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	s := mustOpen(t, dir, c.read, small())
	generations := func() int {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, "gen-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	first, second, third := idsOf(0, 100), idsOf(100, 200), idsOf(200, 300)
	mustRecord(t, s, first...)
	c.advance(day - time.Second)
	mustRecord(t, s, second...)
	mustRecord(t, s, first[0]) // it is in the same generation: nothing new
	if n := s.Len(); n != 200 {
		t.Errorf("Len = %d, want 200", n)
	}

	c.advance(time.Second) // the first generation is a window old
	again := second[99]
	mustRecord(t, s, again) // is still in memory
	mustRecord(t, s, third...)
	if n := s.Len(); n != 301 {
		t.Errorf("Len = %d, want 301: an id of an older generation is kept for a window from now", n)
	}
	mustHave(t, s, true, second...)
	if n := generations(); n != 2 {
		t.Errorf("%d generations, want 2", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	c.advance(day - 2*time.Second) // second was recorded a second less than a window ago
	s = mustOpen(t, dir, c.read, small())
	mustHave(t, s, true, second...)
	mustHave(t, s, true, third...)

	c.advance(2 * time.Second)
	if err := s.Sync(); err != nil { // without traffic too
		t.Fatal(err)
	}
	await(t, "the oldest generation to go", func() bool { return s.Len() == 101 && generations() == 2 })
	mustHave(t, s, false, first...)
	mustHave(t, s, true, third...)
	mustHave(t, s, true, again)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	c.advance(day)
	s = mustOpen(t, dir, c.read, small())
	mustHave(t, s, false, third...)
	if n := generations(); n != 1 {
		t.Errorf("%d generations, want 1: Open removes what has left the window", n)
	}
}

func TestClockSetBack(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	s := mustOpen(t, dir, c.read, small())
	mustRecord(t, s, idsOf(0, 100)...)
	c.advance(-100 * day)
	mustRecord(t, s, idsOf(100, 200)...)
	c.advance(day)
	mustRecord(t, s, idsOf(200, 300)...)
	if n := len(s.gens); n != 2 {
		t.Errorf("%d generations, want 2: the window counts from the new time", n)
	}
	mustHave(t, s, true, idsOf(0, 300)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, c.read, small())
	mustHave(t, s, true, idsOf(0, 300)...)
	c.advance(day + time.Second)
	mustRecord(t, s, idsOf(300, 301)...)
	c.advance(day + time.Second)
	mustRecord(t, s, idsOf(301, 302)...)
	await(t, "old ids to go", func() bool { return s.Len() == 2 })
}

func TestExpired(t *testing.T) {
	at := func(hours ...int) []time.Time {
		var times []time.Time
		for _, h := range hours {
			times = append(times, time.Unix(0, 0).Add(time.Duration(h)*time.Hour))
		}
		return times
	}
	for _, tt := range []struct {
		began []time.Time
		now   int
		want  int
	}{
		{at(), 100, 0},
		{at(0), 1000, 0},
		{at(0, 24), 47, 0},
		{at(0, 24), 48, 1},
		{at(0, 24, 48), 71, 1},
		{at(0, 24, 48), 72, 2},
		{at(0, 24), -5, 0},
	} {
		if got := expired(tt.began, day, at(tt.now)[0]); got != tt.want {
			t.Errorf("expired(%d generations, %d h) = %d, want %d", len(tt.began), tt.now, got, tt.want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	s := mustOpen(t, t.TempDir(), time.Now, small())
	const ids, workers = 1500, 8
	var applied [ids]atomic.Int32
	var wg sync.WaitGroup
	for w := range uint64(workers) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, w))
			for _, n := range r.Perm(ids) {
				id := idOf(uint64(n))
				for {
					mine, err := s.Reserve(id)
					if err != nil {
						t.Error(err)
						return
					}
					if !mine {
						break
					}
					if r.IntN(3) == 0 { // refused: somebody has to try again
						s.Release([]ID{id})
						continue
					}
					applied[n].Add(1)
					if err := s.Record([]ID{id}); err != nil {
						t.Error(err)
						return
					}
					if found, err := s.Has(id); err != nil || !found {
						t.Errorf("Has after Record = %v, %v", found, err)
						return
					}
				}
				if found, err := s.Has(idOf(ids + uint64(n))); err != nil || found {
					t.Errorf("Has of an absent id = %v, %v", found, err)
					return
				}
				if n%97 == 0 {
					if err := s.Sync(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	for n := range applied {
		if got := applied[n].Load(); got != 1 {
			t.Errorf("id %d applied %d times", n, got)
		}
	}
	if n := s.Len(); n != ids {
		t.Errorf("Len = %d, want %d", n, ids)
	}
}

func TestFailedWrite(t *testing.T) {
	s := mustOpen(t, t.TempDir(), time.Now, small())
	mustRecord(t, s, idOf(1))
	if ok, err := s.Reserve(idOf(2)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	journal := s.live.journal
	writable := journal.file
	readOnly, err := os.Open(writable.Name())
	if err != nil {
		t.Fatal(err)
	}
	journal.file = readOnly
	if err := s.Record([]ID{idOf(2)}); err == nil {
		t.Error("Record succeeded on a journal that cannot be written")
	}
	mustHave(t, s, false, idOf(2))
	if ok, err := s.Reserve(idOf(2)); ok || err != nil {
		t.Errorf("Reserve after a failed Record = %v, %v: the reservation must stand", ok, err)
	}
	journal.file = writable
	if err := readOnly.Close(); err != nil {
		t.Fatal(err)
	}
	mustRecord(t, s, idOf(2))
	mustHave(t, s, true, idOf(1), idOf(2))
}

func TestDiskFullDelaysRuns(t *testing.T) {
	var full atomic.Bool
	noSpace := errors.New("no space left on device")
	with := small()
	with.fsync = func(f *os.File) error {
		if full.Load() && strings.Contains(f.Name(), "run-") {
			return noSpace
		}
		return nil
	}
	dir := t.TempDir()
	s := mustOpen(t, dir, time.Now, with)
	full.Store(true)
	var n uint64
	var err error
	for ; err == nil && n < 1000; n++ {
		err = s.Record([]ID{idOf(n)})
	}
	if !errors.Is(err, noSpace) {
		t.Fatalf("Record = %v after %d ids, want it to fail when two tables are full", err, n)
	}
	n--
	if n != 2*64 {
		t.Errorf("Record failed after %d ids, want 128", n)
	}
	mustHave(t, s, true, idsOf(0, n)...)
	if err := s.Sync(); err != nil {
		t.Errorf("Sync = %v: the journals can be written", err)
	}
	full.Store(false)
	// An attempt that began before may still fail; whoever records tries again.
	await(t, "ids to be recorded again", func() bool { return s.Record(idsOf(n, 500)) == nil })
	settle(t, s)
	mustHave(t, s, true, idsOf(0, 500)...)
	if left, _ := filepath.Glob(filepath.Join(dir, "gen-*", "*"+temporary)); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestFailedFsyncIsFinal(t *testing.T) {
	var fail atomic.Bool
	broken := errors.New("input/output error")
	with := small()
	with.fsync = func(*os.File) error {
		if fail.Load() {
			return broken
		}
		return nil
	}
	s, err := open(t.TempDir(), day, time.Now, with)
	if err != nil {
		t.Fatal(err)
	}
	mustRecord(t, s, idOf(1))
	fail.Store(true)
	if err := s.Sync(); !errors.Is(err, broken) {
		t.Errorf("Sync = %v, want %v", err, broken)
	}
	fail.Store(false)
	if err := s.Sync(); !errors.Is(err, broken) {
		t.Errorf("second Sync = %v, want %v still", err, broken)
	}
	if err := s.Record([]ID{idOf(2)}); !errors.Is(err, broken) {
		t.Errorf("Record = %v, want %v", err, broken)
	}
	mustHave(t, s, true, idOf(1))
	if err := s.Close(); !errors.Is(err, broken) {
		t.Errorf("Close = %v, want %v", err, broken)
	}
}

func TestSyncIsCheapWithoutChange(t *testing.T) {
	var calls atomic.Int32
	with := small()
	with.fsync = func(*os.File) error { calls.Add(1); return nil }
	s := mustOpen(t, t.TempDir(), time.Now, with)
	sync := func(want int32) {
		t.Helper()
		calls.Store(0)
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		if got := calls.Load(); got != want {
			t.Errorf("%d fsyncs, want %d", got, want)
		}
	}
	sync(0)
	mustRecord(t, s, idOf(1))
	sync(2) // the journal and its name
	sync(0)
	mustRecord(t, s, idOf(1))
	sync(0) // nothing new
	mustRecord(t, s, idOf(2))
	sync(1)
}

func TestClosed(t *testing.T) {
	s := mustOpen(t, t.TempDir(), time.Now, small())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, hasErr := s.Has(idOf(1))
	_, reserveErr := s.Reserve(idOf(1))
	for name, err := range map[string]error{
		"Has": hasErr, "Reserve": reserveErr, "Record": s.Record([]ID{idOf(1)}), "Sync": s.Sync(),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s = %v, want ErrClosed", name, err)
		}
	}
	if n := s.Len(); n != 0 {
		t.Errorf("Len = %d", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, day, time.Now); err == nil {
		t.Error("Open accepted a file")
	}
	if _, err := Open(t.TempDir(), 0, time.Now); err == nil {
		t.Error("Open accepted a window of 0")
	}
}
