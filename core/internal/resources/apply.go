package resources

import (
	"context"
	"errors"
	"fmt"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/config"
)

// ErrConflict says that a resource is not at the revision that the caller
// expects.
var ErrConflict = errors.New("changed meanwhile")

// ApplyOptions say how changes are applied.
type ApplyOptions struct {
	// DryRun validates and compares, and changes nothing.
	DryRun bool
	// IfMatch, where it is not nil, is the revision that each of the resources
	// must be at; 0: it must not exist.
	IfMatch *uint64
}

// A Result says what an apply did.
type Result struct {
	// Revision is that of the set afterwards; of a dry run, that of the set
	// that was compared with.
	Revision    uint64
	Differences []config.Difference // in the order of the changes
	// Set is the one afterwards; of a dry run, the one that there would be.
	Set *config.Set
}

// Apply makes changes, all or none of them. It returns when they are durable,
// stand as a command in the log of every partition, and are what this node
// works by. Changes that make no difference make no revision.
//
// The error is [config.Problems] where the changes are wrong, or a flow among
// them asks for what no plugin offers (see [WithActions]), and wraps
// ErrConflict where IfMatch does not hold: nothing is changed then. Any other
// error leaves open whether the changes were made; applied again, they make no
// difference where they were.
func (r *Registry) Apply(ctx context.Context, changes []config.Change, o ApplyOptions) (Result, error) {
	if err := r.applying.lock(ctx); err != nil {
		return Result{}, fmt.Errorf("wait for another apply: %w", err)
	}
	defer r.applying.unlock()
	for {
		before, seq, base := r.position()
		if err := o.match(before, changes); err != nil {
			return Result{}, err
		}
		set, differences, err := before.Apply(changes)
		if err != nil {
			return Result{}, err
		}
		if err := r.checkActions(set, differences); err != nil {
			return Result{}, err
		}
		if o.DryRun {
			return Result{before.Revision(), differences, set}, nil
		}
		if set != before {
			conflict, err := r.write(ctx, set, differing(set, differences), seq, base)
			if err != nil {
				return Result{}, err
			}
			if conflict {
				continue
			}
			r.tell(set, differences)
		}
		if err := r.settle(ctx); err != nil {
			r.wake()
			return Result{}, fmt.Errorf("revision %d of the configuration is stored, but has not arrived everywhere yet: %w", set.Revision(), err)
		}
		return Result{set.Revision(), differences, set}, nil
	}
}

// checkActions holds changed flows against what the plugins offer.
func (r *Registry) checkActions(set *config.Set, differences []config.Difference) error {
	if r.actions == nil {
		return nil
	}
	if actions := r.actions(); actions != nil {
		return set.CheckActions(actions, differences)
	}
	return nil
}

// write appends the change set. A conflict is another node's change, which
// this node knows afterwards.
func (r *Registry) write(ctx context.Context, set *config.Set, changes []config.Change, seq, base uint64) (conflict bool, err error) {
	whole := set.Revision()%wholeEvery == 0
	if whole {
		changes = nil
	}
	next, err := r.bus.AppendConfig(ctx, appendChangeSet(nil, r.bus.NodeID(), set, changes), seq)
	switch {
	case isConflict(err):
		if err := r.catchUp(ctx); err != nil {
			return false, fmt.Errorf("apply resources: %w", err)
		}
		return true, nil
	case err != nil:
		return false, fmt.Errorf("apply resources: %w", err)
	}
	if !whole {
		r.install(set, next, 0)
	} else {
		r.install(set, next, next)
		// What stands before the message that held everything before this one
		// is not needed; the next such message tries again.
		if err := r.bus.PurgeConfig(ctx, base); err != nil {
			r.log.Warn("old configurations cannot be purged", "error", err)
		}
	}
	return false, nil
}

// match holds the resources against the revision that the caller expects.
func (o ApplyOptions) match(set *config.Set, changes []config.Change) error {
	if o.IfMatch == nil {
		return nil
	}
	for _, c := range changes {
		resource, ok := set.Get(c.Resource.Kind, c.Resource.ID)
		switch {
		case ok && *o.IfMatch == 0:
			return fmt.Errorf("%s/%s exists, at revision %d: %w", c.Resource.Kind, c.Resource.ID, resource.Revision, ErrConflict)
		case ok && resource.Revision != *o.IfMatch:
			return fmt.Errorf("%s/%s is at revision %d, not at %d: %w", c.Resource.Kind, c.Resource.ID, resource.Revision, *o.IfMatch, ErrConflict)
		case !ok && *o.IfMatch != 0:
			return fmt.Errorf("%s/%s does not exist, so it is not at revision %d: %w", c.Resource.Kind, c.Resource.ID, *o.IfMatch, ErrConflict)
		}
	}
	return nil
}

// tell logs what an apply did, by kind and id; a spec may hold secrets.
func (r *Registry) tell(set *config.Set, differences []config.Difference) {
	counts := map[config.Action]int{}
	for _, d := range differences {
		counts[d.Action]++
	}
	r.log.Info("configuration applied", "revision", set.Revision(), "created", counts[config.Created],
		"changed", counts[config.Changed], "deleted", counts[config.Deleted], "unchanged", counts[config.Unchanged])
}

// differing makes the changes that lead to a set: those that change something,
// as they stand in it.
func differing(set *config.Set, differences []config.Difference) []config.Change {
	changes := make([]config.Change, 0, len(differences))
	for _, d := range differences {
		switch d.Action {
		case config.Created, config.Changed:
			resource, _ := set.Get(d.Kind, d.ID)
			changes = append(changes, config.Change{Resource: resource})
		case config.Deleted:
			changes = append(changes, config.Change{Resource: config.Resource{Kind: d.Kind, ID: d.ID}, Delete: true})
		}
	}
	return changes
}

func isConflict(err error) bool { return errors.Is(err, bus.ErrConflict) }
