package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/sdk/client"
)

// prefix is of the keys of the erasures' records.
const prefix = "erasure/"

// Report returns the report of an erasure, by any id that the profile had, or
// [bus.ErrNotFound].
func (s *Service) Report(ctx context.Context, profile string) (client.Erasure, error) {
	j, err := s.read(ctx, profile)
	if err == nil {
		return withKept(j.report), nil
	}
	if !errors.Is(err, bus.ErrNotFound) {
		return client.Erasure{}, err
	}
	list, listErr := s.Reports(ctx)
	if listErr != nil {
		return client.Erasure{}, listErr
	}
	for _, r := range list {
		if slices.Contains(r.IDs, profile) {
			return withKept(r), nil
		}
	}
	return client.Erasure{}, err
}

// Reports returns all reports, the latest first.
func (s *Service) Reports(ctx context.Context) ([]client.Erasure, error) {
	latest := map[string]client.Erasure{} // one that changes meanwhile comes twice
	_, err := s.o.Bus.Jobs(ctx, prefix, 0, func(key string, data []byte, _ uint64) error {
		r, err := parse(key, data)
		latest[key] = r
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]client.Erasure, 0, len(latest))
	for _, r := range latest {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b client.Erasure) int { return b.Requested.Compare(a.Requested.Time) })
	return list, nil
}

func (s *Service) read(ctx context.Context, profile string) (*job, error) {
	data, revision, err := s.o.Bus.GetJob(ctx, prefix+profile)
	if err != nil {
		return nil, err
	}
	r, err := parse(prefix+profile, data)
	return &job{report: r, revision: revision}, err
}

// write replaces the record and makes it durable.
func (s *Service) write(ctx context.Context, j *job) error {
	data, err := json.Marshal(j.report)
	if err != nil {
		return fmt.Errorf("record of an erasure: %w", err)
	}
	if j.revision, err = s.o.Bus.PutJob(ctx, prefix+j.report.Profile, data, j.revision); err != nil {
		return err
	}
	return s.o.Bus.SyncJobs()
}

func parse(key string, data []byte) (r client.Erasure, err error) {
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("record %s: %w", key, err)
	}
	return r, nil
}

// catchUp learns of the erasures that were asked for and done since the last time,
// here and on other nodes.
func (s *Service) catchUp(ctx context.Context) error {
	s.mu.Lock()
	after := s.seen
	s.mu.Unlock()
	last, err := s.o.Bus.Jobs(ctx, prefix, after, func(key string, data []byte, revision uint64) error {
		r, err := parse(key, data)
		if err == nil {
			s.remember(&job{report: r, revision: revision})
		}
		return err
	})
	s.mu.Lock()
	s.seen = max(s.seen, last)
	s.mu.Unlock()
	return err
}

// remember takes up a record, unless a later one is known, and has the ids of what is
// under way excluded.
func (s *Service) remember(j *job) {
	if j.report.State == client.Erasing && s.o.Exclude != nil {
		s.o.Exclude(j.report.IDs)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	profile := j.report.Profile
	if k := s.known[profile]; k != nil && k.revision > j.revision {
		return
	}
	here := len(s.o.Aside) == 0 || j.revision <= s.cleared
	if j.report.State == client.Erased && time.Since(j.report.Erased.Time) > recheckFor && here {
		delete(s.known, profile)
		return
	}
	s.known[profile] = &job{report: clone(j.report), revision: j.revision}
}

// takeAside takes what is erased out of what this node alone has, whoever did the
// rest, and notes up to which record it did.
func (s *Service) takeAside(ctx context.Context) error {
	if len(s.o.Aside) == 0 {
		return nil
	}
	s.mu.Lock()
	last := s.cleared
	var jobs []*job
	for _, j := range s.known {
		if next(&j.report) > 0 && j.revision > s.cleared {
			jobs = append(jobs, &job{report: clone(j.report), revision: j.revision})
			last = max(last, j.revision)
		}
	}
	s.mu.Unlock()
	if len(jobs) == 0 {
		return nil
	}
	for _, j := range jobs {
		s.o.Exclude(j.report.IDs) // it may be done already elsewhere
	}
	for _, aside := range s.o.Aside {
		if _, err := aside.Erase(ctx, targets(jobs)); err != nil {
			return fmt.Errorf("erase from %s of this node: %w", aside.Name, err)
		}
	}
	revision, err := s.o.Bus.PutJob(ctx, s.node(), strconv.AppendUint(nil, last, 10), s.clearedAt)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleared, s.clearedAt = last, revision
	return nil
}

// node is the key of the number of the last record that this node was cleared of.
func (s *Service) node() string { return "erased-from/" + s.o.Bus.NodeID() }

func (s *Service) loadCleared(ctx context.Context) error {
	if len(s.o.Aside) == 0 {
		return nil
	}
	data, revision, err := s.o.Bus.GetJob(ctx, s.node())
	if errors.Is(err, bus.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s.clearedAt = revision
	s.cleared, err = strconv.ParseUint(string(data), 10, 64)
	return err
}

// withKept adds what no erasure reaches.
func withKept(r client.Erasure) client.Erasure {
	r = clone(r)
	r.Kept = []string{
		"Backups and snapshots that were made before have everything that was in them.",
		"What flows, plugins, destinations and subscribers were given before is with those who got it.",
		"Dead letters that name the person otherwise than by a profile id, such as rows of an import, stay until they are 30 days old.",
		"Events that were not valid are about nobody; those that came under an identifier that was not yet the profile's are not found by it, and stay for as long as events are kept.",
		"What is deleted from the log (INGEST), the commits (COMMITS), the profiles (PROFILES) and earlier states of runs (FLOWS) cannot be read any more, but its bytes stay in files under " +
			"jetstream/ until the server writes these anew: within minutes for a file of which more than half was deleted and that is no longer the last, " +
			"else when as much as a file holds was written after it.",
	}
	return r
}
