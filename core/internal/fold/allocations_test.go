//go:build !race

package fold

import "testing"

// TestAllocationsOfAFold holds that an event of a browser, its schema checked and
// its context enriched, is folded with no more allocations than
// docs/performance.md states. The race detector has pools forget, so it is not
// asked then.
func TestAllocationsOfAFold(t *testing.T) {
	const most = 84
	if n := testing.AllocsPerRun(2000, foldOfABrowser(t)); n > most {
		t.Errorf("an event is folded with %v allocations, want at most %d", n, most)
	}
}
