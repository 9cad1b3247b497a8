package seen

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func rebuild(t *testing.T, s *Set, ids []ID) {
	t.Helper()
	if err := s.Rebuild(func() error { return s.Record(ids) }); err != nil {
		t.Fatal(err)
	}
}

func TestIntactOnlyAfterRebuild(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, time.Now, small())
	intact := func(want bool) {
		t.Helper()
		if got := s.Intact(); got != want {
			t.Fatalf("Intact = %v, want %v", got, want)
		}
	}
	reopen := func() {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, dir, time.Now, small())
	}
	intact(false) // a directory that was deleted looks like this
	reopen()
	intact(false)
	failed := errors.New("the source of ids is away")
	if err := s.Rebuild(func() error { return failed }); !errors.Is(err, failed) {
		t.Fatalf("Rebuild = %v, want %v", err, failed)
	}
	intact(false)
	rebuild(t, s, idsOf(0, 300))
	intact(true)
	mustHave(t, s, true, idsOf(0, 300)...)
	reopen()
	intact(true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(find(t, dir, "gen-*")); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, time.Now, small())
	intact(false)
}

func TestDamageDuringRebuild(t *testing.T) {
	s := mustOpen(t, t.TempDir(), time.Now, small())
	err := s.Rebuild(func() error { return s.noteDamage() })
	if err == nil || s.Intact() {
		t.Errorf("Rebuild = %v, Intact = %v, want an error and false", err, s.Intact())
	}
}

func flip(at int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at < 0 {
			at += int64(len(b))
		}
		b[at] ^= 0x10
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func cutTo(size int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		if size < 0 {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			size += info.Size()
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestDamage(t *testing.T) {
	// The set that is damaged: runs of the tables 0 to 3 and 4 to 5, and a journal of three records, the first two known to be durable by the third.
	const wide, narrow, journal = "run-00000000-00000003", "run-00000004-00000005", "journal-00000006"
	const inWide, inNarrow, inJournal = 4 * 64, 2 * 64, 30

	for name, tt := range map[string]struct {
		file   string
		damage func(*testing.T, string)
		intact bool // after Open
		aside  bool
		lost   [2]uint64 // ids, from and to
	}{
		"nothing":             {file: wide, damage: func(*testing.T, string) {}, intact: true},
		"run empty":           {file: narrow, damage: cutTo(0), aside: true, lost: [2]uint64{inWide, inWide + inNarrow}},
		"run half written":    {file: wide, damage: cutTo(5000), aside: true, lost: [2]uint64{0, inWide}},
		"run too short":       {file: wide, damage: cutTo(-1), aside: true, lost: [2]uint64{0, inWide}},
		"run header":          {file: wide, damage: flip(9), aside: true, lost: [2]uint64{0, inWide}},
		"run filter":          {file: wide, damage: flip(page + 70), aside: true, lost: [2]uint64{0, inWide}},
		"run index":           {file: wide, damage: flip(2*page + 3), aside: true, lost: [2]uint64{0, inWide}},
		"run missing":         {file: wide, damage: remove, lost: [2]uint64{0, inWide}},
		"run missing between": {file: narrow, damage: remove, lost: [2]uint64{inWide, inWide + inNarrow}},
		"journal torn":        {file: journal, damage: cutTo(-5), intact: true, lost: [2]uint64{inWide + inNarrow + 20, inWide + inNarrow + 30}},
		"journal tail bad":    {file: journal, damage: flip(-3), intact: true, lost: [2]uint64{inWide + inNarrow + 20, inWide + inNarrow + 30}},
		"journal durable bad": {file: journal, damage: flip(180), lost: [2]uint64{inWide + inNarrow + 10, inWide + inNarrow + 30}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir, time.Now, small())
			const n = inWide + inNarrow + inJournal
			for table := range uint64(6) {
				mustRecord(t, s, idsOf(64*table, 64*table+64)...)
				settle(t, s) // so that the same runs are merged each time
			}
			for from := uint64(inWide + inNarrow); from < n; from += 10 {
				mustRecord(t, s, idsOf(from, from+10)...)
				if from < n-10 {
					if err := s.Sync(); err != nil {
						t.Fatal(err)
					}
				}
			}
			settle(t, s)
			rebuild(t, s, nil)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}

			path := find(t, dir, "gen-*/"+tt.file)
			tt.damage(t, path)
			s = mustOpen(t, dir, time.Now, small())
			if got := s.Intact(); got != tt.intact {
				t.Errorf("Intact = %v, want %v", got, tt.intact)
			}
			if _, err := os.Stat(path + setAside); (err == nil) != tt.aside {
				t.Errorf("set aside: %v, want %v", err == nil, tt.aside)
			}
			mustHave(t, s, true, idsOf(0, tt.lost[0])...)
			mustHave(t, s, false, idsOf(tt.lost[0], tt.lost[1])...)
			mustHave(t, s, true, idsOf(tt.lost[1], n)...)

			rebuild(t, s, idsOf(0, n))
			mustHave(t, s, true, idsOf(0, n)...)
			if !s.Intact() {
				t.Error("not intact after a rebuild")
			}
		})
	}
}

func TestDamagedBlockIsFoundByLookup(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, time.Now, small())
	mustRecord(t, s, idsOf(0, 65)...)
	settle(t, s)
	rebuild(t, s, nil)
	path := find(t, dir, "gen-*/run-*")
	flip(-page+100)(t, path)

	if _, err := s.Has(idOf(0)); !errors.Is(err, ErrDamaged) {
		t.Fatalf("Has = %v, want ErrDamaged", err)
	}
	if s.Intact() {
		t.Error("Intact after damage was found")
	}
	await(t, "the run to be set aside", func() bool {
		_, err := os.Stat(path + setAside)
		return err == nil
	})
	mustHave(t, s, false, idsOf(0, 64)...)
	mustHave(t, s, true, idOf(64))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, time.Now, small())
	if s.Intact() {
		t.Error("Intact after a restart without a rebuild")
	}
	rebuild(t, s, idsOf(0, 65))
	mustHave(t, s, true, idsOf(0, 65)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s = mustOpen(t, dir, time.Now, small()); !s.Intact() {
		t.Error("a file that was set aside before the rebuild counts as missing")
	}
}

func TestDamagedBlockIsFoundByMerge(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, time.Now, small())
	mustRecord(t, s, idsOf(0, 65)...)
	settle(t, s)
	rebuild(t, s, nil)
	path := find(t, dir, "gen-*/run-*")
	flip(-page+100)(t, path)
	mustRecord(t, s, idsOf(65, 64+65)...) // the second run is merged with the first
	await(t, "the run to be set aside", func() bool {
		_, err := os.Stat(path + setAside)
		return err == nil
	})
	if s.Intact() {
		t.Error("Intact after damage was found")
	}
	settle(t, s)
	mustHave(t, s, true, idsOf(64, 64+65)...)
	if left, _ := filepath.Glob(filepath.Join(dir, "gen-*", "*"+temporary)); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// A merge that ended between making its result durable and removing its inputs leaves all three.
func TestInputsOfAMergeAreRemoved(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, time.Now, small())
	kept := map[string][]byte{}
	for table := range uint64(2) {
		mustRecord(t, s, idsOf(64*table, 64*table+64)...)
	}
	mustRecord(t, s, idOf(128))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	g := s.dir
	for _, name := range []string{"run-00000000-00000000", "journal-00000001", "x" + temporary} {
		kept[name] = []byte("left over")
	}
	s = mustOpen(t, dir, time.Now, small())
	settle(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	gen := find(t, g, "gen-*")
	for name, b := range kept {
		if err := os.WriteFile(filepath.Join(gen, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = mustOpen(t, dir, time.Now, small())
	for name := range kept {
		if _, err := os.Stat(filepath.Join(gen, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	mustHave(t, s, true, idsOf(0, 129)...)
}
