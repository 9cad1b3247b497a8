//go:build !race

package fold

import "testing"

// TestAllocationsOfAFold holds that an event of a browser, its schema checked and
// its context enriched, is folded with no more allocations than
// docs/performance.md states. The race detector has pools forget, so it is not
// asked then.
func TestAllocationsOfAFold(t *testing.T) {
	const most = 75
	if n := testing.AllocsPerRun(2000, foldOfABrowser(t)); n > most {
		t.Errorf("an event is folded with %v allocations, want at most %d", n, most)
	}
}

// TestAllocationsOfATypicalFold holds that a typical event, of a type with a schema, a
// trait and seven copy rules, is folded within its budget.
func TestAllocationsOfATypicalFold(t *testing.T) {
	const most = 60
	if n := testing.AllocsPerRun(2000, typicalFold(t)); n > most {
		t.Errorf("an event is folded with %v allocations, want at most %d", n, most)
	}
}
