package elastic

import (
	"context"
	"fmt"
	"math"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// deleteListed removes documents by their ids.
func (s *Store) deleteListed(ctx context.Context, l *layout, deletions []store.Deletion) error {
	var actions [][]byte
	anyVersion := map[store.Kind][]string{}
	for _, d := range deletions {
		version := d.Version
		switch {
		case d.ID == "":
			continue
		case !d.Kind.Changing():
			// It never has another version, and may lie in any month.
			if version == 0 || version > math.MaxInt64 {
				version = math.MaxInt64
			}
			for _, i := range l.of(d.Kind) {
				actions = append(actions, deleteLine(i.name, idOf(d.ID), version))
			}
		case version == 0:
			anyVersion[d.Kind] = append(anyVersion[d.Kind], idOf(d.ID))
		default:
			actions = append(actions, deleteLine(s.indexName(l.generation, d.Kind, ""), idOf(d.ID), min(version, math.MaxInt64)))
		}
	}
	if err := s.remove(ctx, actions); err != nil {
		return err
	}
	for kind, ids := range anyVersion {
		if err := s.deleteAnyVersion(ctx, s.indexName(l.generation, kind, ""), ids); err != nil {
			return err
		}
	}
	return nil
}

// deleteAnyVersion removes documents in the version that they have: higher ones may come
// back, and those before may not.
func (s *Store) deleteAnyVersion(ctx context.Context, index string, ids []string) error {
	for len(ids) > 0 {
		part := ids[:min(len(ids), mostBulkLines)]
		ids = ids[len(part):]
		for {
			got, err := s.stored(ctx, index, part, false)
			if err != nil {
				return err
			}
			var actions [][]byte
			for i, one := range got {
				if one.Found {
					actions = append(actions, deleteLine(index, part[i], one.Version))
				}
			}
			if len(actions) == 0 {
				break
			}
			if err := s.remove(ctx, actions); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove carries out deletions, of which none can be refused.
func (s *Store) remove(ctx context.Context, actions [][]byte) error {
	outcomes, err := s.bulk(ctx, actions)
	if err != nil {
		return err
	}
	for i := range outcomes {
		if o := &outcomes[i]; o.refused() {
			return fmt.Errorf("delete: %w", &failure{status: o.status, kind: o.kind, reason: o.reason})
		}
	}
	return nil
}

// Delete implements [store.Writer]. What it removes it removes in the version that it saw;
// a late write of that version does not bring it back, as [deleteLine] says.
func (s *Store) Delete(ctx context.Context, kind store.Kind, filter store.Filter) (uint64, error) {
	q, err := s.question(ctx, kind, filter)
	if err != nil {
		return 0, err
	}
	var deleted uint64
	for {
		if err := s.refresh(ctx, s.alias(kind)); err != nil {
			return deleted, fmt.Errorf("delete %s: %w", kind, err)
		}
		found, gone, err := s.deleteSeen(ctx, q)
		if deleted += gone; err != nil {
			return deleted, fmt.Errorf("delete %s: %w", kind, err)
		}
		if found == 0 {
			return deleted, nil
		}
	}
}

// deleteSeen removes what queries see.
func (s *Store) deleteSeen(ctx context.Context, q *question) (found, gone uint64, err error) {
	var actions [][]byte
	flush := func() error {
		outcomes, err := s.bulk(ctx, actions)
		actions = actions[:0]
		for i := range outcomes {
			if outcomes[i].result == "deleted" {
				gone++
			}
		}
		return err
	}
	err = s.each(ctx, q, reading{version: true, sources: !q.bounds.exact}, func(h *hit, _ *store.Document) error {
		found++
		actions = append(actions, deleteLine(h.Index, h.ID, h.Version))
		if len(actions) < mostBulkLines {
			return nil
		}
		return flush()
	})
	if err != nil {
		return found, gone, err
	}
	return found, gone, flush()
}
