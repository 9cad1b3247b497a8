package seen

import (
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestModel compares the set with a map, over random histories of calls, passing time and restarts.
func TestModel(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			rt.Fatal(err)
		}
		c := newClock()
		with := settings{recentIDs: 8, fsync: noFsync}
		s, err := open(dir, day, c.read, with)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				rt.Error(err)
			}
		}()

		recorded := map[ID]time.Time{}
		reserved := map[ID]bool{}
		anID := rapid.Custom(func(rt *rapid.T) ID { return idOf(rapid.Uint64Range(0, 60).Draw(rt, "n")) })
		someIDs := rapid.SliceOfN(anID, 0, 20)
		check := func(id ID, found bool, what string) {
			at, ever := recorded[id]
			if found && !ever {
				rt.Fatalf("%s: an id that was never recorded is found", what)
			}
			if !found && ever && c.read().Sub(at) < day {
				rt.Fatalf("%s: an id recorded %v ago is not found", what, c.read().Sub(at))
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"record": func(rt *rapid.T) {
				ids := someIDs.Draw(rt, "ids")
				if err := s.Record(ids); err != nil {
					rt.Fatal(err)
				}
				for _, id := range ids {
					recorded[id] = c.read()
					delete(reserved, id)
				}
			},
			"has": func(rt *rapid.T) {
				id := anID.Draw(rt, "id")
				found, err := s.Has(id)
				if err != nil {
					rt.Fatal(err)
				}
				check(id, found, "Has")
			},
			"reserve": func(rt *rapid.T) {
				id := anID.Draw(rt, "id")
				ok, err := s.Reserve(id)
				if err != nil {
					rt.Fatal(err)
				}
				if !reserved[id] {
					check(id, !ok, "Reserve")
				} else if ok {
					rt.Fatal("a reserved id was reserved again")
				}
				reserved[id] = reserved[id] || ok
			},
			"release": func(rt *rapid.T) {
				ids := someIDs.Draw(rt, "ids")
				s.Release(ids)
				for _, id := range ids {
					delete(reserved, id)
				}
			},
			"sync": func(rt *rapid.T) {
				if err := s.Sync(); err != nil {
					rt.Fatal(err)
				}
			},
			"time passes": func(rt *rapid.T) {
				c.advance(time.Duration(rapid.SampledFrom([]int{1, 6, 11, 12, 18, 23, 24}).Draw(rt, "hours")) * time.Hour)
			},
			"restart": func(rt *rapid.T) {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				if s, err = open(dir, day, c.read, with); err != nil {
					rt.Fatal(err)
				}
				clear(reserved)
			},
		})
		for id := range recorded {
			found, err := s.Has(id)
			if err != nil {
				rt.Fatal(err)
			}
			check(id, found, "at the end")
		}
	})
}
