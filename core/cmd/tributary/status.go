package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/go-json-experiment/json"

	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk/client"
)

// The states of a part.
const (
	stateOK       = "ok"
	stateDegraded = "degraded"
	stateDown     = "down"
)

// lagWithin bounds the questions to the bus behind a status.
const lagWithin = 2 * time.Second

// status tells how the server stands. What cannot be told now is left out.
func (s *server) status(ctx context.Context) client.Status {
	ctx, cancel := context.WithTimeout(ctx, lagWithin)
	defer cancel()
	lag, err := s.lag(ctx)
	parts := s.parts(ctx)
	if err != nil {
		parts = append(parts, client.Part{Name: "lag", State: stateDown, Reason: err.Error()})
	}
	messages, bytes := s.bus.IngestBacklog()
	return client.Status{
		Version: versionText(), PID: os.Getpid(), Started: client.Time{Time: s.started}, Node: s.bus.NodeID(),
		Partitions: s.bus.Partitions(), Durability: s.config.Durability, Revision: s.resources.Current().Revision(),
		Parts: parts, Lag: lag, Ingest: client.Backlog{Messages: messages, Bytes: bytes},
	}
}

// parts tells how each part is.
func (s *server) parts(ctx context.Context) []client.Part {
	health := s.bus.Health()
	stored := client.Part{Name: "store", State: stateOK}
	if err := s.store.Health(ctx); err != nil {
		stored.State, stored.Reason = stateDown, err.Error()
	}
	parts := []client.Part{{Name: "bus", State: health.State, Reason: health.Reason}, stored}
	if err := s.store.Failing(); err != nil {
		parts = append(parts, client.Part{Name: "store-fill", State: stateDegraded, Reason: err.Error()})
	}
	if s.pluginsReady() == nil {
		parts = append(parts, s.plugins.Degraded()...)
	}
	return parts
}

// health is what the channel system tells: {"parts":[…]}, those of a status.
func (s *server) health(ctx context.Context) []byte {
	ctx, cancel := context.WithTimeout(ctx, lagWithin)
	defer cancel()
	text, err := json.Marshal(map[string][]client.Part{"parts": s.parts(ctx)})
	if err != nil {
		s.log.Error("tell how the parts are", "error", err)
		return []byte("null")
	}
	return text
}

// seen lets the gateway ask the processor for events that it knows.
type seen func(id record.ID) (bool, error)

// Has implements [gateway.Seen].
func (s seen) Has(id record.ID) (bool, error) { return s(id) }

// processMetrics are those of the process as a whole.
func processMetrics(w io.Writer) { metrics.WriteProcessMetrics(w) }
