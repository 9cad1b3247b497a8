package erasure

import (
	"context"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

// Runs ends the runs of flows that are about the profiles, and overwrites what FLOWS
// keeps of them. What is under way on this node is ended by end, which says whom each
// run that it has ended was about; what is under way on another is ended there, by
// the same eraser or before its next step.
func Runs(b *bus.Bus, end func(ctx context.Context, profiles []string) (about []string, err error)) Eraser {
	return Eraser{Name: "flow runs", Prompt: true, Erase: func(ctx context.Context, targets []Target) ([]Count, error) {
		counts := make([]Count, len(targets))
		of := owners(targets)
		ids := make([]string, 0, len(of))
		for id := range of {
			ids = append(ids, id)
		}
		ended, err := end(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, profile := range ended {
			counts[of[profile]].Removed++
		}
		kept := func(found func(target int, revision uint64)) error {
			return b.Runs(ctx, func(_ string, data []byte, revision uint64) error {
				if i, ok := of[textAt(data, "event", "event", "profile")]; ok {
					found(i, revision)
				}
				return nil
			})
		}
		var revisions []uint64
		err = kept(func(target int, revision uint64) {
			revisions = append(revisions, revision)
			counts[target].Removed++
		})
		if err != nil || len(revisions) == 0 {
			return counts, err
		}
		if err := b.EraseRuns(ctx, revisions); err != nil {
			return nil, err
		}
		return counts, kept(func(target int, _ uint64) { counts[target].Remaining++ })
	}}
}
