package erasure

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// A Store is the part of a query store that profiles are erased from.
type Store interface {
	Delete(ctx context.Context, kind store.Kind, filter store.Filter) (uint64, error)
	Count(ctx context.Context, kind store.Kind, filter store.Filter) (uint64, error)
}

// A Scrubber takes out of its files what was deleted.
type Scrubber interface {
	Scrub(ctx context.Context) error
}

// QueryStore deletes the profiles, their events and their sessions from the query
// store. What is to keep them out, such as [indexer.Indexer.Exclude], has to be told
// before.
func QueryStore(name string, s Store, prompt bool) Eraser {
	return Eraser{Name: name, Prompt: prompt, Erase: func(ctx context.Context, targets []Target) ([]Count, error) {
		counts := make([]Count, len(targets))
		for i, t := range targets {
			for ids := range slices.Chunk(t.IDs, idsAtOnce) {
				if err := deleteAll(ctx, s, ids, &counts[i]); err != nil {
					return nil, err
				}
			}
		}
		// The prompt one is done again later, when nothing is left to be found out
		// by who asked: then the files are looked after.
		if scrubber, ok := s.(Scrubber); ok && !prompt {
			if err := scrubber.Scrub(ctx); err != nil {
				return nil, err
			}
		}
		return counts, nil
	}}
}

// idsAtOnce bounds the length of a filter.
const idsAtOnce = 100

// fields say where each kind has the profile's id, and what a filter of it may name.
var fields = []struct {
	kind  store.Kind
	field string
	scope condition.Scope
}{
	{store.Events, "event.profile", condition.EventScope},
	{store.Sessions, "session.profile", condition.SessionScope},
	{store.Profiles, "profile.id", condition.ProfileScope},
	{store.Changes, "event.profile", condition.EventScope},
}

func deleteAll(ctx context.Context, s Store, ids []string, count *Count) error {
	for _, f := range fields {
		filter, err := filterOf(f.field, f.scope, ids)
		if err != nil {
			return fmt.Errorf("find %s of a profile: %w", f.kind, err)
		}
		removed, err := s.Delete(ctx, f.kind, filter)
		count.Removed += removed
		if err != nil {
			return err
		}
		left, err := s.Count(ctx, f.kind, filter)
		count.Remaining += left
		if err != nil {
			return err
		}
	}
	return nil
}

// filterOf finds documents by whether a field is one of some ids.
func filterOf(field string, scope condition.Scope, ids []string) (store.Filter, error) {
	return condition.CompileCondition(field+" in "+listed(ids), scope)
}

// listed is a list of texts as conditions have it.
func listed(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = strconv.Quote(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
