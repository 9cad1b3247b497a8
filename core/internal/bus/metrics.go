package bus

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Metrics writes what the bus measures, as Prometheus text.
func (b *Bus) Metrics(w io.Writer) {
	b.metrics.set.WritePrometheus(w)
	h := b.Health()
	gauge := func(name string, value uint64) { fmt.Fprintf(w, "%s %d\n", name, value) }
	gauge("tributary_bus_disk_free_bytes", h.DiskFree)
	gauge("tributary_bus_disk_reserve_bytes", h.DiskReserve)
	gauge("tributary_bus_ingest_max_bytes", h.IngestMaxBytes)
	gauge("tributary_bus_server_restarts_total", h.Restarts)
	accepting := uint64(0)
	if h.State != HealthDown {
		accepting = 1
	}
	gauge("tributary_bus_accepting", accepting)
	busy := uint64(0)
	if b.Busy() {
		busy = 1
	}
	gauge("tributary_bus_busy", busy)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for name := range b.streams {
		state, err := b.state(ctx, name)
		if err != nil {
			return // what was written stands; health tells why
		}
		gauge(fmt.Sprintf("tributary_bus_stream_messages{stream=%q}", name), state.Msgs)
		gauge(fmt.Sprintf("tributary_bus_stream_bytes{stream=%q}", name), state.Bytes)
		gauge(fmt.Sprintf("tributary_bus_stream_last_sequence{stream=%q}", name), state.LastSeq)
	}
}

// measures are counted where they happen.
type measures struct {
	set        *metrics.Set
	fsyncTime  *metrics.Histogram
	groupTime  *metrics.Histogram
	groupCalls *metrics.Histogram
}

func newMeasures() *measures {
	set := metrics.NewSet()
	return &measures{
		set:        set,
		fsyncTime:  set.NewHistogram("tributary_bus_fsync_seconds"),
		groupTime:  set.NewHistogram("tributary_bus_append_group_seconds"),
		groupCalls: set.NewHistogram("tributary_bus_append_group_calls"),
	}
}

func (m *measures) fsync(took time.Duration) { m.fsyncTime.Update(took.Seconds()) }

func (m *measures) group(calls int, took time.Duration) {
	m.groupTime.Update(took.Seconds())
	m.groupCalls.Update(float64(calls))
}
