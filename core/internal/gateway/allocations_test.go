//go:build !race

package gateway

import "testing"

// TestAllocationsOfAnEvent holds that what a server does for one event of a browser,
// with its key, its form and its sender looked at, costs no more allocations than
// docs/performance.md states, those of net/http and of the connection included. The
// race detector has pools forget, so it is not asked then.
func TestAllocationsOfAnEvent(t *testing.T) {
	for name, most := range map[string]float64{"http": 48, "websocket": 26} {
		one := exchanges[name](t)
		if n := testing.AllocsPerRun(2000, func() { one(t) }); n > most {
			t.Errorf("an event over %s costs %v allocations, want at most %v", name, n, most)
		}
	}
}
