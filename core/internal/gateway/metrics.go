package gateway

import (
	"fmt"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// gatewayMetrics counts what comes in. A source has counters of its own, up
// to maxSources of them, which share one set of counters beyond.
type gatewayMetrics struct {
	set      *metrics.Set
	requests map[string]*metrics.Histogram
	refused  *metrics.Counter
	unsure   *metrics.Counter
	mu       sync.RWMutex
	sources  map[string]*sourceMetrics
}

const maxSources = 1000

type sourceMetrics struct {
	results [4]*metrics.Counter // by status
}

func (m *gatewayMetrics) init(g *Gateway) {
	m.set = metrics.NewSet()
	m.sources = map[string]*sourceMetrics{}
	m.requests = map[string]*metrics.Histogram{}
	for _, path := range routes.all() {
		m.requests[path] = m.set.NewHistogram(fmt.Sprintf(`tributary_ingest_request_duration_seconds{path=%q}`, path))
	}
	m.refused = m.set.NewCounter(`tributary_ingest_refused_total`)
	m.unsure = m.set.NewCounter(`tributary_ingest_seen_errors_total`)
	m.set.NewGauge(`tributary_websocket_connections`, func() float64 { return float64(g.sockets.count()) })
	m.set.NewGauge(`tributary_ingest_bytes_in_flight`, func() float64 { return float64(g.bodies.used.Load()) })
}

func (m *gatewayMetrics) source(id string) *sourceMetrics {
	m.mu.RLock()
	s := m.sources[id]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sources) >= maxSources {
		id = "other"
	}
	if s = m.sources[id]; s == nil {
		s = &sourceMetrics{}
		for i := range s.results {
			s.results[i] = m.set.NewCounter(fmt.Sprintf(`tributary_ingest_events_total{source=%q,result=%q}`, id, status(i)))
		}
		m.sources[id] = s
	}
	return s
}

// results counts what became of a batch.
func (m *gatewayMetrics) results(source string, b *batch) {
	s := m.source(source)
	for i := range s.results {
		if n := count(b.events, status(i)); n > 0 {
			s.results[i].Add(n)
		}
	}
}

func (m *gatewayMetrics) served(path string, began time.Time) {
	if h := m.requests[path]; h != nil {
		h.UpdateDuration(began)
	}
}
