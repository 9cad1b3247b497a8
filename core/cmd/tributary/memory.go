package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// leastMemory is what the runtime tries to stay below, in bytes, as long as
	// that is cheap. The streams keep blocks of 8 MB in memory that may be let
	// go of at any time: without a limit they would pile up between two
	// collections.
	leastMemory = 320 << 20
	// mostMemory bounds what it may take instead of collecting ever more often:
	// while much is caught up with, more blocks than usual are in use.
	mostMemory = 768 << 20
	// memoryStep is by how much the limit changes in a second.
	memoryStep = 64 << 20
	// costlyCollection and cheapCollection are parts of the CPU time that the
	// product uses: above the first the limit grows, below the second it falls.
	costlyCollection = 0.2
	cheapCollection  = 0.1
)

// limitMemory keeps the limit until it is told to stop, unless GOMEMLIMIT says
// another.
func limitMemory() (stop func()) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	debug.SetMemoryLimit(leastMemory)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		adjustMemory(end)
	}()
	return func() {
		close(end)
		<-ended
	}
}

func adjustMemory(end <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	limit := int64(leastMemory)
	collecting, working := collectionTimes()
	for {
		select {
		case <-tick.C:
		case <-end:
			return
		}
		c, w := collectionTimes()
		if next := nextLimit(limit, c-collecting, w-working); next != limit {
			limit = next
			debug.SetMemoryLimit(limit)
		}
		collecting, working = c, w
	}
}

// nextLimit is the limit after a time in which collecting garbage took so many
// CPU seconds and the rest so many.
func nextLimit(limit int64, collecting, working float64) int64 {
	switch share := collecting / max(collecting+working, 0.05); {
	case share > costlyCollection:
		return min(limit+memoryStep, mostMemory)
	case share < cheapCollection:
		return max(limit-memoryStep, leastMemory)
	}
	return limit
}

// collectionTimes are the CPU seconds, since the start, that went into
// collecting garbage, but for what would have been idle, and into the rest.
func collectionTimes() (collecting, working float64) {
	samples := []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}, {Name: "/cpu/classes/user:cpu-seconds"},
	}
	metrics.Read(samples)
	seconds := func(i int) float64 {
		if samples[i].Value.Kind() != metrics.KindFloat64 {
			return 0
		}
		return samples[i].Value.Float64()
	}
	return seconds(0) - seconds(1), seconds(2)
}
