package erasure

import (
	"io"

	"github.com/VictoriaMetrics/metrics"

	"github.com/tributary-bus/tributary/sdk/client"
)

type measures struct {
	set    *metrics.Set
	failed *metrics.Counter
}

func newMeasures(s *Service) *measures {
	set := metrics.NewSet()
	set.NewGauge("tributary_erasures_unfinished", func() float64 { return float64(s.unfinished()) })
	return &measures{set: set, failed: set.NewCounter("tributary_erasures_failed_attempts_total")}
}

// Metrics writes the service's metrics in Prometheus' text format.
func (s *Service) Metrics(w io.Writer) { s.metrics.set.WritePrometheus(w) }

func (s *Service) unfinished() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.known {
		if j.report.State == client.Erasing {
			n++
		}
	}
	return n
}
