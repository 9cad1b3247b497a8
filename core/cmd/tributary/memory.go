package main

import (
	"os"
	"runtime/debug"
)

// memoryLimit is what the runtime tries to stay below, in bytes, unless
// GOMEMLIMIT says otherwise. The streams keep blocks of 8 MB in memory that may
// be let go of at any time: without a limit they would pile up between two
// collections.
const memoryLimit = 320 << 20

func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
