package main

import (
	"runtime"
	"testing"
)

func TestTheMemoryLimitFollowsWhatCollectingCosts(t *testing.T) {
	for _, c := range []struct {
		limit               int64
		collecting, working float64
		want                int64
	}{
		{leastMemory, 0, 0, leastMemory},
		{leastMemory, 0.15, 0.85, leastMemory},
		{leastMemory, 0.5, 1, leastMemory + memoryStep},
		{mostMemory, 1, 1, mostMemory},
		{mostMemory, 0.15, 0.85, mostMemory},
		{mostMemory, 0.01, 1, mostMemory - memoryStep},
		{leastMemory + 1, 0, 2, leastMemory},
		{leastMemory, 0.001, 0.001, leastMemory}, // at rest
	} {
		if got := nextLimit(c.limit, c.collecting, c.working); got != c.want {
			t.Errorf("%d MB, %v s of %v s: %d MB, want %d MB", c.limit>>20, c.collecting, c.collecting+c.working, got>>20, c.want>>20)
		}
	}
	before, _ := collectionTimes()
	for range 3 {
		runtime.GC()
	}
	if after, _ := collectionTimes(); after <= before {
		t.Errorf("three collections took %v s", after-before)
	}
}
