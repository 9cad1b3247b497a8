package querystore

import (
	"context"
	"time"

	"github.com/tributary-bus/tributary/core/internal/indexer"
	"github.com/tributary-bus/tributary/sdk/client"
)

// Status tells which store answers, what is done with another one, and which is kept.
func (s *Store) Status(ctx context.Context) client.StoreStatus {
	s.mu.RLock()
	answering, filling, kept, failing := s.answering, s.filling, s.kept, s.failing
	var index *indexer.Indexer
	if filling != nil {
		index = filling.index // not yet, before it is emptied
	}
	s.mu.RUnlock()
	status := client.StoreStatus{Answers: one(answering)}
	if err := s.Health(ctx); err != nil {
		status.Answers.Error = err.Error()
	}
	if job := s.underWay(); job != nil {
		status.UnderWay = job.What
		status.Done, status.Total = job.Progress()
	}
	if filling != nil {
		status.Filling = one(filling)
		if failing != nil {
			status.Filling.Error = failing.Error()
		}
		if index != nil {
			events, since := index.Lag() //nolint:contextcheck // it bounds itself
			status.Lag = &client.StoreLag{Events: events, Seconds: since.Round(time.Millisecond).Seconds()}
		}
	}
	if kept != nil {
		status.Kept = one(kept)
	}
	return status
}

// Failing is why a fill does not go on, nil while it does.
func (s *Store) Failing() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.failing
}

func one(on *side) *client.StoreAt {
	return &client.StoreAt{Store: on.target.Store, Place: on.target.Place}
}
