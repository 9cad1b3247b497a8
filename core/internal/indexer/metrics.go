package indexer

import (
	"fmt"
	"io"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/tributary-bus/tributary/core/internal/store"
)

type measures struct {
	set       *metrics.Set
	documents map[store.Kind]*metrics.Counter
	deleted   *metrics.Counter
	expired   *metrics.Counter
	dead      *metrics.Counter
	failures  *metrics.Counter
	took      *metrics.Histogram
}

func newMeasures() *measures {
	set := metrics.NewSet()
	m := &measures{
		set: set, documents: map[store.Kind]*metrics.Counter{},
		deleted:  set.NewCounter("tributary_indexer_deleted_total"),
		expired:  set.NewCounter("tributary_indexer_expired_events_total"),
		dead:     set.NewCounter("tributary_indexer_dead_letters_total"),
		failures: set.NewCounter("tributary_indexer_failures_total"),
		took:     set.NewHistogram("tributary_indexer_batch_seconds"),
	}
	for _, kind := range store.Kinds {
		m.documents[kind] = set.NewCounter(fmt.Sprintf("tributary_indexer_documents_total{kind=%q}", kind))
	}
	return m
}

func (m *measures) batch(b *store.Batch, took time.Duration) {
	for i := range b.Put {
		m.documents[b.Put[i].Kind].Inc()
	}
	m.deleted.Add(len(b.Delete))
	m.took.Update(took.Seconds())
}

// Metrics writes what the indexer measures, as Prometheus text.
func (x *Indexer) Metrics(w io.Writer) {
	x.metrics.set.WritePrometheus(w)
	events, since := x.Lag()
	fmt.Fprintf(w, "tributary_indexer_lag_events %d\ntributary_indexer_lag_seconds %g\n", events, since.Seconds())
}
