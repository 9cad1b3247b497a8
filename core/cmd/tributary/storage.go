package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/admin"
	"github.com/tributary-bus/tributary/core/internal/erasure"
	"github.com/tributary-bus/tributary/core/internal/querystore"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk/client"
)

// openStore opens the query store and what fills it. A broken store does not
// keep the server from taking events in: /readyz tells of it, and a rebuild
// mends it.
func (s *server) openStore(ctx context.Context) (err error) {
	s.store, err = querystore.Open(ctx, querystore.Options{
		Dir: s.config.Data, Bus: s.bus, Wished: wishedStore(s.config), Standard: querystore.Target{Store: storeSQLite, Place: standardFile},
		Open: s.openTarget, Exists: s.targetExists, Remove: s.removeTarget,
		Retention: time.Duration(s.config.Store.Retention.Events), Log: s.log, Reached: filledStep,
	})
	return err
}

// filledStep is told of every step of a fill that is done, by the test that kills the
// server there.
var filledStep func(step string)

// stores are the query stores as the admin API sees them.
type stores struct{ *server }

// Status implements [admin.Stores].
func (s stores) Status(ctx context.Context) client.StoreStatus { return s.store.Status(ctx) }

// Rebuild implements [admin.Stores].
func (s stores) Rebuild(ctx context.Context, what client.Rebuild) (admin.Rebuilding, error) {
	answers := s.store.Answers()
	for key := range what.Settings {
		if !strings.HasPrefix(key, "store."+what.To+".") {
			return nil, fmt.Errorf("%w: %s is no setting of the store that is to be filled; say which one in to", store.ErrInvalid, key)
		}
	}
	if what.To == "" {
		return s.store.Rebuild(ctx, answers)
	}
	target, err := namedStore(s.config, what, s.store.Known())
	if err != nil {
		return nil, err
	}
	if target.Is(answers) && len(what.Settings) > 0 {
		return nil, fmt.Errorf("%w: %s answers already; its settings are taken when the server starts", store.ErrInvalid, target)
	}
	return s.store.Rebuild(ctx, target)
}

// Compare implements [admin.Stores].
func (s stores) Compare(ctx context.Context, sample int) (client.StoreComparison, error) {
	return s.store.Compare(ctx, sample)
}

// Drop implements [admin.Stores].
func (s stores) Drop(ctx context.Context, force bool) (client.StoreAt, error) {
	dropped, err := s.store.Drop(ctx, force)
	return client.StoreAt{Store: dropped.Store, Place: dropped.Place}, err
}

// indexed waits until what an outcome says can be queried.
func (s *server) indexed(ctx context.Context, o record.Outcome) error {
	return s.store.WaitIndexed(ctx, o)
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
	atEvents, atDocuments := s.store.Reached()
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
		Bus: s.bus, Commands: s.commands, Exclude: s.store.Exclude, Log: s.log, Reached: erasedPart,
		// Who owns the first partition leads; where two believe to, the record is
		// written by one.
		Lead: func() bool { owned, _ := s.processor.Owned(); return owned[0] },
		Erasers: []erasure.Eraser{
			erasure.QueryStore("query store", s.store.Everywhere(), true),
			runs,
			erasure.Commits(s.bus),
			erasure.Events(s.bus, s.store.Everywhere()),
			erasure.DeadLetters(s.bus),
			erasure.QueryStore("query store, again", s.store.Everywhere(), false),
		},
	}
	if len(s.config.Bus.URLs) > 0 { // there may be other nodes, each with a store and runs of its own
		o.Aside = []erasure.Eraser{erasure.QueryStore("query store", s.store.Everywhere(), false), runs}
	}
	s.erasures, err = erasure.New(ctx, o)
	return err
}
