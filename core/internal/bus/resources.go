package bus

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// A Resource is a resource as it stands.
type Resource struct {
	Kind, ID string
	Data     []byte
	Revision uint64
}

// PutResource writes a resource.
func (b *Bus) PutResource(ctx context.Context, kind, id string, data []byte) error {
	if _, err := b.store(ctx, b.effects, streamResources, subjectResource(kind, id), nil, data); err != nil {
		return fmt.Errorf("put %s %s: %w", kind, id, err)
	}
	return nil
}

// DeleteResource removes a resource; that it is not there is no error.
func (b *Bus) DeleteResource(ctx context.Context, kind, id string) error {
	mark := []field{{headerOperation, "DEL"}}
	if _, err := b.store(ctx, b.effects, streamResources, subjectResource(kind, id), mark, nil); err != nil {
		return fmt.Errorf("delete %s %s: %w", kind, id, err)
	}
	return nil
}

// Resources returns all resources, by kind and id.
func (b *Bus) Resources(ctx context.Context) ([]Resource, error) {
	type key struct{ kind, id string }
	latest := map[key]stored{}
	err := b.feed(streamResources, "", 0).rest(ctx, func(m stored) error {
		kind, id, err := resourceOf(m.subject)
		if err != nil {
			return err
		}
		latest[key{kind, id}] = m
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the resources: %w", err)
	}
	list := make([]Resource, 0, len(latest))
	for k, m := range latest {
		if k.kind != kindOwn && !m.deleted() {
			list = append(list, Resource{Kind: k.kind, ID: k.id, Data: m.data, Revision: m.seq})
		}
	}
	slices.SortFunc(list, func(a, b Resource) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}
