package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/erasure"
	"github.com/tributary-bus/tributary/core/internal/indexer"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/core/internal/store/sqlite"
	"github.com/tributary-bus/tributary/sdk/client"
)

// openStore opens the query store and what fills it. A broken store does not
// keep the server from taking events in: /readyz tells of it, and a rebuild
// mends it.
func (s *server) openStore(ctx context.Context) error {
	opened, err := sqlite.Open(ctx, sqlite.Options{Path: s.config.StorePath(), Log: s.log})
	if errors.Is(err, store.ErrBroken) && opened != nil {
		s.log.Error("the query store is broken; events are taken in all the same, and `tributary store rebuild` makes a new one", "error", err)
		err = nil
	}
	if err != nil {
		return err
	}
	s.store = opened
	s.indexer, err = indexer.New(ctx, indexer.Options{
		Bus: s.bus, Store: s.store, Retention: time.Duration(s.config.Store.Retention.Events), Log: s.log,
	})
	return err
}

// indexed waits until what an outcome says can be queried.
func (s *server) indexed(ctx context.Context, o record.Outcome) error {
	return s.indexer.WaitIndexed(ctx, o)
}

// rebuild drops the query store and fills it again. It goes on where its
// caller hangs up.
func (s *server) rebuild(ctx context.Context, progress func(done, total uint64)) error {
	return s.indexer.Rebuild(ctx, progress)
}

// The consumers of the streams, in the order in which events pass them.
const (
	consumerProcessor = "processor"
	consumerFlows     = "flows"
	consumerIndexer   = "indexer"
)

// lag is how far each consumer is behind.
func (s *server) lag(ctx context.Context) ([]client.Lag, error) {
	done, end, err := s.processor.Processed(ctx)
	if err != nil {
		return nil, err
	}
	events, err := s.bus.EventsLast(ctx)
	if err != nil {
		return nil, err
	}
	documents, err := s.bus.DocumentsLast(ctx)
	if err != nil {
		return nil, err
	}
	atEvents, atDocuments := s.indexer.Reached()
	return []client.Lag{
		{Consumer: consumerProcessor, Stream: "INGEST", Position: done, End: end},
		{Consumer: consumerFlows, Stream: "EVENTS", Position: min(s.flows.Reached(), events), End: events},
		{Consumer: consumerIndexer, Stream: "EVENTS", Position: min(atEvents, events), End: events},
		{Consumer: consumerIndexer, Stream: "PROFILES", Position: min(atDocuments, documents), End: documents},
	}, nil
}

// catchUp gives the query store its share of the time to stop, to take in what
// was processed.
func (s *server) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, catchUpShare)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		behind, err := s.behind(ctx)
		if err != nil {
			s.log.Warn("the query store is not up to date; it catches up at the next start", "reason", err)
			return
		}
		if behind == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.log.Info("the query store is behind; it catches up at the next start", "messages", behind)
			return
		}
	}
}

// behind is how many messages the query store has not got.
func (s *server) behind(ctx context.Context) (uint64, error) {
	if err := s.store.Health(ctx); err != nil {
		return 0, err
	}
	lag, err := s.lag(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for the lag: %w", err)
	}
	var behind uint64
	for _, l := range lag {
		if l.Consumer == consumerIndexer {
			behind += l.End - l.Position
		}
	}
	return behind, nil
}

// erasedPart is told of every part of an erasure that is done, by the test that kills
// the server there.
var erasedPart func(part string)

// openErasures takes up the erasures that are under way. Here is listed what holds
// anything of persons: a part that is added adds its eraser.
func (s *server) openErasures(ctx context.Context) (err error) {
	if s.commands, err = erasure.NewCommands(s.bus); err != nil {
		return err
	}
	runs := erasure.Runs(s.bus, func(ctx context.Context, profiles []string) ([]string, error) { return s.flows.EndRuns(ctx, profiles) })
	o := erasure.Options{
		Bus: s.bus, Commands: s.commands, Exclude: s.indexer.Exclude, Log: s.log, Reached: erasedPart,
		// Who owns the first partition leads; where two believe to, the record is
		// written by one.
		Lead: func() bool { owned, _ := s.processor.Owned(); return owned[0] },
		Erasers: []erasure.Eraser{
			erasure.QueryStore("query store", s.store, true),
			runs,
			erasure.Commits(s.bus),
			erasure.Events(s.bus, s.store),
			erasure.DeadLetters(s.bus),
			erasure.QueryStore("query store, again", s.store, false),
		},
	}
	if len(s.config.Bus.URLs) > 0 { // there may be other nodes, each with a store and runs of its own
		o.Aside = []erasure.Eraser{erasure.QueryStore("query store", s.store, false), runs}
	}
	s.erasures, err = erasure.New(ctx, o)
	return err
}
