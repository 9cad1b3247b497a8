package processor

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// BenchmarkProcess measures the whole processor on a real bus: events that
// wait in the log, folded, committed, their effects completed.
func BenchmarkProcess(b *testing.B) {
	for _, durability := range []bus.Durability{bus.DurabilityProcess, bus.DurabilityFsync} {
		b.Run(string(durability), func(b *testing.B) { benchmarkProcess(b, durability) })
	}
}

func benchmarkProcess(b *testing.B, durability bus.Durability) {
	dir := b.TempDir()
	n := &node{t: b, dir: dir, bus: openBus(b, dir, durability), outcomes: map[string]record.Outcome{}}
	defer func() { _ = n.bus.Close(context.Background()) }()
	n.configure()
	const perBatch, users = 100, 1000
	for i := 0; i < b.N; i += perBatch {
		batch := make([]*record.Command, 0, perBatch)
		for j := i; j < min(i+perBatch, b.N); j++ {
			batch = append(batch, n.adds(fmt.Sprint(j), fmt.Sprint("u", j%users), j%10, ""))
		}
		n.send(batch...)
	}
	p := process(b, n.bus, dir)
	end, err := n.bus.IngestLast(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	eventually(b, "all to be processed", func() bool {
		done, _, err := p.Processed(ctx)
		return err == nil && done >= end
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	cancel()
	if err := errors.Join(<-ended, p.Close()); err != nil {
		b.Fatal(err)
	}
}
