package elastic

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
)

// Names of indices are PREFIX-GENERATION-KIND, and for what is kept for some time only,
// PREFIX-GENERATION-KIND-YEAR.MONTH, by when it was received. The aliases PREFIX-KIND name
// those of the generation that answers: a new one is filled beside the one before, and
// they change places in one step.

// state is, beside the kinds of document, the kind of index with the position.
const state store.Kind = "state"

// kinds are all kinds of index.
var kinds = append(slices.Clone(store.Kinds), state)

// monthly tells whether a kind has an index for each month.
func monthly(kind store.Kind) bool { return kind == store.Events || kind == store.Changes }

// An index is one of the store's.
type index struct {
	name       string
	generation int
	kind       store.Kind
	month      string // as 2026.12; empty where the kind has none
	aliased    bool   // the kind's alias names it
}

func (s *Store) alias(kind store.Kind) string { return s.prefix + "-" + string(kind) }

// aliases lists the aliases of kinds, as a path of a request has them.
func (s *Store) aliases(kinds []store.Kind) string {
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = s.alias(kind)
	}
	return strings.Join(names, ",")
}

func (s *Store) indexName(generation int, kind store.Kind, month string) string {
	name := fmt.Sprintf("%s-%06d-%s", s.prefix, generation, kind)
	if monthly(kind) {
		name += "-" + month
	}
	return name
}

func monthOf(received string) string { return strings.Replace(received[:len("2026-12")], "-", ".", 1) }

// A layout is what indices there are, and the generation that answers; 0: none does.
type layout struct {
	generation int
	indices    []index
}

// has tells whether an index is there and answers.
func (l *layout) has(name string) bool {
	return slices.ContainsFunc(l.indices, func(i index) bool { return i.name == name && i.aliased })
}

// of lists the indices of a kind that answer.
func (l *layout) of(kind store.Kind) (list []index) {
	for _, i := range l.indices {
		if i.kind == kind && i.aliased && i.generation == l.generation {
			list = append(list, i)
		}
	}
	return list
}

// layout asks what indices there are.
func (s *Store) layout(ctx context.Context) (*layout, error) {
	var answer map[string]struct {
		Aliases map[string]struct{} `json:"aliases"`
	}
	if err := s.client.ask(ctx, "GET", "/"+s.prefix+"-*/_alias", params("expand_wildcards", "all"), nil, &answer); err != nil {
		return nil, fmt.Errorf("list indices: %w", err)
	}
	l := &layout{}
	for name, of := range answer {
		parts := s.names.FindStringSubmatch(name)
		if parts == nil {
			continue
		}
		i := index{name: name, kind: store.Kind(parts[2]), month: parts[3]}
		if monthly(i.kind) != (i.month != "") {
			continue
		}
		i.generation, _ = strconv.Atoi(parts[1])
		_, i.aliased = of.Aliases[s.alias(i.kind)]
		if i.aliased && i.kind == state {
			l.generation = max(l.generation, i.generation)
		}
		l.indices = append(l.indices, i)
	}
	slices.SortFunc(l.indices, func(a, b index) int { return strings.Compare(a.name, b.name) })
	return l, nil
}

// prepare makes what is missing, and removes what a crash left of generations before.
func (s *Store) prepare(ctx context.Context) error {
	l, err := s.layout(ctx)
	if err != nil {
		return err
	}
	if l.generation == 0 {
		return s.renew(ctx, l)
	}
	if err := s.putTemplate(ctx, l.generation); err != nil {
		return err
	}
	for _, name := range s.firstIndices(l.generation) {
		if err := s.createIndex(ctx, l, name); err != nil {
			return err
		}
	}
	return s.removeBefore(ctx, l, l.generation)
}

// firstIndices names those that a generation has from the beginning: every alias has one.
func (s *Store) firstIndices(generation int) []string {
	var names []string
	for _, kind := range kinds {
		names = append(names, s.indexName(generation, kind, s.now().UTC().Format("2006.01")))
	}
	return names
}

// renew makes a new generation, has the aliases name it in one step, and removes those
// before.
func (s *Store) renew(ctx context.Context, l *layout) error {
	generation := l.generation + 1
	for _, i := range l.indices {
		generation = max(generation, i.generation+1)
	}
	if err := s.putTemplate(ctx, generation); err != nil {
		return err
	}
	var actions []map[string]any
	for _, i := range l.indices {
		if i.aliased {
			actions = append(actions, query{"remove": query{"index": i.name, "alias": s.alias(i.kind)}})
		}
	}
	for _, name := range s.firstIndices(generation) {
		if err := s.create(ctx, name, nil); err != nil {
			return err
		}
		actions = append(actions, query{"add": query{"index": name, "alias": s.aliasOf(name)}})
	}
	if err := s.client.ask(ctx, "POST", "/_aliases", nil, query{"actions": actions}, nil); err != nil {
		return fmt.Errorf("have the aliases name generation %d: %w", generation, err)
	}
	s.log.Info("the store in Elasticsearch begins anew", "prefix", s.prefix, "generation", generation)
	return s.removeBefore(ctx, l, generation)
}

func (s *Store) aliasOf(name string) string {
	return s.alias(store.Kind(s.names.FindStringSubmatch(name)[2]))
}

// removeBefore removes the indices and templates of earlier generations.
func (s *Store) removeBefore(ctx context.Context, l *layout, generation int) error {
	var names []string
	generations := map[int]bool{}
	for _, i := range l.indices {
		if i.generation < generation {
			names = append(names, i.name)
			generations[i.generation] = true
		}
	}
	if len(names) > 0 {
		s.log.Info("indices of earlier generations are removed", "prefix", s.prefix, "indices", names)
	}
	if err := s.removeIndices(ctx, names); err != nil {
		return err
	}
	for old := range generations {
		if err := s.client.ask(ctx, "DELETE", "/_index_template/"+s.templateName(old), nil, nil, nil); err != nil && !isKind(err, "index_template_missing_exception") {
			return fmt.Errorf("remove template of generation %d: %w", old, err)
		}
	}
	return nil
}

// removeIndices removes indices by their names, a few at a time.
func (s *Store) removeIndices(ctx context.Context, names []string) error {
	for part := range slices.Chunk(names, 20) {
		if err := s.client.ask(ctx, "DELETE", "/"+strings.Join(part, ","), params("ignore_unavailable", "true"), nil, nil); err != nil {
			return fmt.Errorf("remove indices: %w", err)
		}
	}
	return nil
}

func isKind(err error, kind string) bool {
	f := (*failure)(nil)
	return errors.As(err, &f) && f.kind == kind
}

// createIndex makes an index, or has its alias name it, where it does not answer yet.
func (s *Store) createIndex(ctx context.Context, l *layout, name string) error {
	if l.has(name) {
		return nil
	}
	alias := s.aliasOf(name)
	if err := s.create(ctx, name, query{alias: query{}}); err != nil {
		return err
	}
	action := query{"add": query{"index": name, "alias": alias}}
	if err := s.client.ask(ctx, "POST", "/_aliases", nil, query{"actions": []query{action}}, nil); err != nil {
		return fmt.Errorf("have alias %s name index %s: %w", alias, name, err)
	}
	return nil
}

// create makes an index where there is none.
func (s *Store) create(ctx context.Context, name string, aliases query) error {
	body := s.definition()
	if aliases != nil {
		body["aliases"] = aliases
	}
	err := s.client.ask(ctx, "PUT", "/"+name, nil, body, nil)
	if err != nil && !isKind(err, "resource_already_exists_exception") {
		return fmt.Errorf("make index %s: %w", name, err)
	}
	return nil
}

func (s *Store) templateName(generation int) string {
	return fmt.Sprintf("%s-%06d", s.prefix, generation)
}

// putTemplate has an index that comes to be by a late write have no other fields than the
// store's own. It bears no alias, so queries do not see it.
func (s *Store) putTemplate(ctx context.Context, generation int) error {
	name := s.templateName(generation)
	err := s.client.ask(ctx, "PUT", "/_index_template/"+name, nil, query{
		"index_patterns": []string{name + "-*"}, "template": s.definition(),
		// Of two patterns that match, that of the longer prefix counts.
		"priority": 500 + len(name),
	}, nil)
	if err != nil {
		return fmt.Errorf("put template %s: %w", name, err)
	}
	return nil
}

// definition is the settings and the fields of every index. Whatever a document says, it
// adds no field: what is asked of its body stands in one field of terms.
func (s *Store) definition() query {
	properties := query{fieldTerms: query{"type": "keyword"}, "revision": query{"type": "long"}}
	for _, kind := range store.Kinds {
		for _, column := range kind.Columns() {
			properties[column] = query{"type": "keyword"}
		}
	}
	for _, kind := range store.Kinds {
		for _, column := range kind.Times() {
			properties[column] = query{"type": "date", "format": dateFormat}
		}
	}
	for _, name := range []string{"body", "changes"} {
		properties[name] = query{"type": "object", "enabled": false}
	}
	return query{
		"settings": query{"index": query{
			"number_of_shards": s.shards, "number_of_replicas": s.replicas, "refresh_interval": "1s",
			// How long a deleted document's version is remembered.
			"gc_deletes": "1h",
		}},
		"mappings": query{"dynamic": false, "properties": properties},
	}
}

// dateFormat is that of all times, as Elasticsearch calls it.
const dateFormat = "strict_date_time"

// Reset implements [store.Keeper]: a new generation takes the place of the one before.
func (s *Store) Reset(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return fmt.Errorf("reset store: %w", err)
	}
	s.preparing.Lock()
	defer s.preparing.Unlock()
	l, err := s.layout(ctx)
	if err == nil {
		err = s.renew(ctx, l)
	}
	if err != nil {
		return fmt.Errorf("reset store: %w", err)
	}
	return nil
}

// Expire implements [store.Keeper]: indices of months that have ended before the day are
// removed.
func (s *Store) Expire(ctx context.Context, before time.Time) (uint64, error) {
	expired, err := s.expire(ctx, before.UTC().Format("2006.01"))
	if err != nil {
		return 0, fmt.Errorf("expire: %w", err)
	}
	return expired, nil
}

func (s *Store) expire(ctx context.Context, month string) (expired uint64, err error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	l, err := s.layout(ctx)
	if err != nil {
		return 0, err
	}
	var names, events []string
	for _, kind := range []store.Kind{store.Events, store.Changes} {
		stays := false
		for _, i := range l.of(kind) {
			if i.month >= month {
				stays = true
				continue
			}
			if names = append(names, i.name); kind == store.Events {
				events = append(events, i.name)
			}
		}
		// An alias without an index would be gone.
		if !stays {
			if err := s.createIndex(ctx, l, s.indexName(l.generation, kind, month)); err != nil {
				return 0, err
			}
		}
	}
	for part := range slices.Chunk(events, 20) {
		target := strings.Join(part, ",")
		if err := s.refresh(ctx, target); err != nil {
			return 0, err
		}
		n, err := s.total(ctx, place{target: target}, everything.dsl())
		if err != nil {
			return 0, err
		}
		expired += n
	}
	return expired, s.removeIndices(ctx, names)
}
