package erasure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

// entomb has profiles become tombstones, and takes the ids that these have: while the
// command was on its way the profile may have been merged.
func (s *Service) entomb(ctx context.Context, jobs []*job) error {
	var due []*job
	var commands []record.Command
	for _, j := range jobs {
		if next(&j.report) > 0 {
			continue
		}
		due = append(due, j)
		at := j.report.Requested.Time
		commands = append(commands, record.Command{
			// A repetition is the same command.
			Kind: record.KindErase, ID: record.EventID("erase", j.report.Profile+"/"+sdk.FormatTime(at)),
			Profile: j.report.Profile, Received: at, Body: record.AppendErase(nil, &record.Erase{By: j.report.By}),
		})
	}
	if len(due) == 0 {
		return nil
	}
	if err := s.o.Commands.Do(ctx, commands); err != nil {
		return fmt.Errorf("erase profiles: %w", err)
	}
	s.reached(PartTombstone)
	for _, j := range due {
		ids, err := s.tombstone(ctx, j.report.Profile)
		if err != nil {
			return fmt.Errorf("erase profile %s: %w", j.report.Profile, err)
		}
		j.report.IDs = union(j.report.IDs, ids)
		if err := s.done(ctx, j, 0, Count{Removed: 1}, nil); err != nil {
			return err
		}
	}
	return nil
}

// tombstone returns the ids of the tombstone that a profile leads to.
func (s *Service) tombstone(ctx context.Context, profile string) ([]string, error) {
	doc, id, err := Follow(ctx, s.o.Bus, profile)
	if err != nil {
		return nil, err
	}
	if doc.State != record.StateErased {
		return nil, fmt.Errorf("it is still there, as %s", id)
	}
	return union([]string{id}, doc.IDs), nil
}

// Documents reads the documents of profiles.
type Documents interface {
	GetDocument(ctx context.Context, profile string) (data []byte, revision uint64, err error)
}

// longestChain bounds how many redirects are followed; ranks fall along them, so
// there is no circle, and they are shortened.
const longestChain = 100

// Follow reads the document of a profile, or of the one that it was merged into, and
// returns that one's id; [bus.ErrNotFound] where there is none.
func Follow(ctx context.Context, from Documents, profile string) (*record.Document, string, error) {
	for range longestChain {
		data, _, err := from.GetDocument(ctx, profile)
		if err != nil {
			return nil, profile, err
		}
		doc, err := record.ParseDocument(data)
		if err != nil || doc.State != record.StateRedirect {
			return doc, profile, err
		}
		profile = doc.To
	}
	return nil, profile, errors.New("it was merged more often than can be followed")
}

// reopen begins with a report anew, but for the tombstone, where this has ids that are
// not in it.
func reopen(r *client.Erasure, ids []string) bool {
	all := union(r.IDs, ids)
	if len(all) == len(r.IDs) {
		return false
	}
	r.IDs, r.State, r.Erased = all, client.Erasing, client.Time{}
	for i := 1; i < len(r.Parts); i++ {
		r.Parts[i].At = client.Time{}
	}
	return true
}

// recheck looks at the tombstones of erasures that are done: a profile that was being
// merged into one may have brought ids to it since, whose events are to go as well.
func (s *Service) recheck(ctx context.Context) error {
	s.mu.Lock()
	var jobs []*job
	for profile, j := range s.known {
		switch {
		case j.report.State != client.Erased:
		case time.Since(j.report.Erased.Time) > recheckFor:
			delete(s.known, profile)
		case !s.working[profile]:
			jobs = append(jobs, &job{report: clone(j.report), revision: j.revision})
		}
	}
	s.mu.Unlock()
	for _, j := range jobs {
		ids, err := s.tombstone(ctx, j.report.Profile)
		if errors.Is(err, bus.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if !reopen(&j.report, ids) {
			continue
		}
		if err := s.write(ctx, j); err != nil {
			return err
		}
		s.remember(j)
	}
	return nil
}
