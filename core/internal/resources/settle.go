package resources

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// settle performs the effects of the current set: the resources as they stand
// in their bucket, and a command in the log of each partition. It does nothing
// where that was done, and may be repeated.
func (r *Registry) settle(ctx context.Context) error {
	if err := r.settling.lock(ctx); err != nil {
		return fmt.Errorf("wait for the effects of the last apply: %w", err)
	}
	defer r.settling.unlock()
	set := r.Current()
	if r.settled != nil && r.settled.Revision() >= set.Revision() {
		return nil
	}
	before, err := r.standing(ctx)
	if err != nil {
		return err
	}
	for _, resource := range set.Resources() {
		k := key{resource.Kind, resource.ID}
		text := resource.AppendJSON(nil)
		if !bytes.Equal(before[k], text) {
			if err := r.bus.PutResource(ctx, resource.Kind, resource.ID, text); err != nil {
				return err
			}
		}
		delete(before, k)
	}
	for k := range before {
		if err := r.bus.DeleteResource(ctx, k.kind, k.id); err != nil {
			return err
		}
	}
	if err := r.bus.PublishCommands(ctx, commands(set.Revision(), r.bus.Partitions())); err != nil {
		return err
	}
	r.settled = set
	return nil
}

type key struct{ kind, id string }

// standing is what the bucket holds: what was settled last or, at the start,
// what is read from it.
func (r *Registry) standing(ctx context.Context) (map[key][]byte, error) {
	standing := map[key][]byte{}
	if r.settled != nil {
		for _, resource := range r.settled.Resources() {
			standing[key{resource.Kind, resource.ID}] = resource.AppendJSON(nil)
		}
		return standing, nil
	}
	stored, err := r.bus.Resources(ctx)
	if err != nil {
		return nil, err
	}
	for _, resource := range stored {
		standing[key{resource.Kind, resource.ID}] = resource.Data
	}
	return standing, nil
}

// commands tells every partition to work by a revision. A repetition has the
// same id.
func commands(revision uint64, partitions int) []record.Routed {
	list := make([]record.Routed, partitions)
	for p := range list {
		list[p] = record.Routed{Partition: p, Command: record.AppendCommand(nil, &record.Command{
			Kind: record.KindConfig, Revision: revision,
			// No source has an empty id, so no client's event is known by this.
			ID: record.EventID("", fmt.Sprintf("config/%d/%d", revision, p)),
		})}
	}
	return list
}
