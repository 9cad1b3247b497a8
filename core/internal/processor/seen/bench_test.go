package seen

import (
	"flag"
	"math/bits"
	"os"
	"syscall"
	"testing"
	"time"
)

// cpuTime returns what the process has used of it: on a machine with other work, the time on the clock says little.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reportCPU has the benchmark report the time of a processor per operation, each of which does n things.
func reportCPU(b *testing.B, n int) func() {
	before := cpuTime(b)
	return func() {
		b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/float64(n), "cpu-ns/id")
	}
}

// held is the number of ids in the set that is measured; benchDir keeps it between measurements.
var (
	held     = flag.Uint64("held", 3_000_000, "ids in the set that is measured")
	benchDir = flag.String("held-dir", "", "directory of the set that is measured, made where it is empty")
)

func filled(b *testing.B) *Set {
	b.Helper()
	dir := *benchDir
	if dir == "" {
		dir = b.TempDir()
	}
	s := mustOpen(b, dir, time.Now, settings{recentIDs: 1 << 18, fsync: (*os.File).Sync})
	ids := make([]ID, 1000)
	for n := uint64(s.Len()); n < *held; n += uint64(len(ids)) {
		for i := range ids {
			ids[i] = idOf(n + uint64(i))
		}
		mustRecord(b, s, ids...)
	}
	settle(b, s)
	runs := 0
	for _, g := range s.gens {
		runs += len(g.runs)
	}
	b.Logf("%d ids in %d runs", s.Len(), runs)
	return s
}

func BenchmarkHas(b *testing.B) {
	s := filled(b)
	measure := func(name string, first, spread uint64, want bool) {
		b.Run(name, func(b *testing.B) {
			var n uint64
			defer reportCPU(b, 1)()
			for b.Loop() {
				n++
				if found, err := s.Has(idOf(first + n*7919&spread)); found != want || err != nil {
					b.Fatal(found, err)
				}
			}
		})
		b.Run(name+"-parallel", func(b *testing.B) {
			defer reportCPU(b, 1)()
			b.RunParallel(func(pb *testing.PB) {
				n := uint64(time.Now().UnixNano())
				for pb.Next() {
					n++
					if found, err := s.Has(idOf(first + n*7919&spread)); found != want || err != nil {
						b.Error(found, err)
						return
					}
				}
			})
		})
	}
	measure("absent", 1<<40, 1<<40-1, false)
	measure("present", 0, 1<<(bits.Len64(*held)-1)-1, true)
}

func BenchmarkReserve(b *testing.B) {
	s := filled(b)
	ids := make([]ID, 1)
	defer reportCPU(b, 1)()
	for n := uint64(0); b.Loop(); n++ {
		ids[0] = idOf(1<<40 + n)
		if ok, err := s.Reserve(ids[0]); !ok || err != nil {
			b.Fatal(ok, err)
		}
		s.Release(ids)
	}
}

// BenchmarkRecord measures batches of 50 new ids, writing runs and merging included.
func BenchmarkRecord(b *testing.B) {
	s := filled(b)
	const batch = 50
	ids := make([]ID, batch)
	defer reportCPU(b, batch)()
	n := uint64(time.Now().UnixNano())
	for b.Loop() {
		for i := range ids {
			ids[i] = idOf(n)
			n++
		}
		mustRecord(b, s, ids...)
	}
}
