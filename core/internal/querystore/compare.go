package querystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/client"
)

// MaxDifferences is how many differences a comparison names.
const MaxDifferences = 20

const (
	// compareTries is how often what differs has to be found so, unchanged since the look
	// before: while events flow, one store is a moment ahead of the other.
	compareTries = 5
	// mostLooks bounds the looks at what changes with each.
	mostLooks = 100
)

// Compare holds the store that answers against the one that is kept, which it first
// brings up to date from the bus: the counts of each kind and day, and of each kind so
// many documents (those of each day that some moment is followed by), byte by byte, of
// each store. What was received after the call is left out; what differs is looked at
// again, so that a difference is one that stays.
//
// It returns [ErrUnderWay] while a store is being filled and [store.ErrNotFound] where
// there is one store alone.
func (s *Store) Compare(ctx context.Context, sample int) (c client.StoreComparison, err error) {
	s.mu.Lock()
	if err := s.free(); err != nil {
		s.mu.Unlock()
		return c, err
	}
	a, b := s.answering, s.kept
	if b == nil {
		s.mu.Unlock()
		return c, fmt.Errorf("compare stores: %w: there is one store alone; `tributary store rebuild --to` fills another one", store.ErrNotFound)
	}
	job := newJob("two stores are being compared")
	s.job = job
	s.index(b) //nolint:contextcheck // it goes on after the call, until Run ends
	stop := b.stop
	s.mu.Unlock()
	defer func() { stop(); job.end(err) }()
	compared := &comparison{s: s, sides: [2]*side{a, b}, sample: sample, before: time.Now().UTC().Truncate(time.Millisecond)}
	compared.of.Differences = []client.StoreDifference{}
	for _, on := range compared.sides {
		compared.of.Stores = append(compared.of.Stores, *one(on))
	}
	for i, kind := range store.Kinds {
		if err := compared.kind(ctx, kind); err != nil {
			return c, fmt.Errorf("compare stores: %w", err)
		}
		job.progress(uint64(i+1), uint64(len(store.Kinds)))
	}
	return compared.of, nil
}

// A comparison is one that is being made.
type comparison struct {
	s      *Store
	sides  [2]*side
	sample int
	before time.Time // what came later is left out
	of     client.StoreComparison
}

// align waits until both stores have what the bus holds now.
func (c *comparison) align(ctx context.Context) error {
	ends, err := c.s.ends(ctx)
	if err != nil {
		return err
	}
	for _, on := range c.sides {
		if err := on.index.Refused(); err != nil {
			return fmt.Errorf("%s: %w", on.target, err)
		}
		if err := on.index.Reach(ctx, ends[0], ends[1]); err != nil {
			return err
		}
		if err := on.store.Refresh(ctx); err != nil {
			return err
		}
	}
	return nil
}

// kind compares one kind.
func (c *comparison) kind(ctx context.Context, kind store.Kind) error {
	if err := c.align(ctx); err != nil {
		return err
	}
	told := client.KindComparison{Kind: string(kind), Documents: make([]uint64, 2)}
	var counts [2]map[time.Time]uint64
	for i, on := range c.sides {
		var err error
		if counts[i], err = c.days(ctx, on.store, kind); err != nil {
			return fmt.Errorf("%s: %w", on.target, err)
		}
		for _, n := range counts[i] {
			told.Documents[i] += n
		}
	}
	days := unite(counts[0], counts[1])
	told.Days = len(days)
	for _, at := range days {
		if counts[0][at] != counts[1][at] {
			if err := c.day(ctx, kind, at); err != nil {
				return err
			}
		}
	}
	for i := range c.sides {
		n, err := c.samples(ctx, kind, i, days)
		if err != nil {
			return err
		}
		told.Sampled += n
	}
	c.of.Kinds = append(c.of.Kinds, told)
	return nil
}

// days counts the documents of a kind by day.
func (c *comparison) days(ctx context.Context, s store.Store, kind store.Kind) (map[time.Time]uint64, error) {
	filter, err := within(kind, time.Time{}, c.before)
	if err != nil {
		return nil, err
	}
	buckets, err := s.Histogram(ctx, store.HistogramQuery{Kind: kind, Filter: filter, Field: sdk.Path{dayOf(kind)}, Interval: day})
	counts := make(map[time.Time]uint64, len(buckets))
	for _, b := range buckets {
		counts[b.Start.UTC()] = b.Count
	}
	return counts, err
}

func unite(a, b map[time.Time]uint64) []time.Time {
	var days []time.Time
	for at := range a {
		days = append(days, at)
	}
	for at := range b {
		if _, both := a[at]; !both {
			days = append(days, at)
		}
	}
	slices.SortFunc(days, time.Time.Compare)
	return days
}

// day finds what of a kind is on a day in one of the stores alone.
func (c *comparison) day(ctx context.Context, kind store.Kind, at time.Time) error {
	var stays map[string]int // by id, which store lacks it
	for try := range compareTries {
		if try > 0 {
			if err := c.align(ctx); err != nil {
				return err
			}
		}
		alone, err := c.alone(ctx, kind, at)
		if err != nil {
			return err
		}
		for id := range stays {
			if _, again := alone[id]; !again {
				delete(stays, id)
			}
		}
		if try == 0 {
			stays = alone
		}
		if len(stays) == 0 {
			return nil
		}
	}
	ids := make([]string, 0, len(stays))
	for id := range stays {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		c.differ(client.StoreDifference{Kind: string(kind), ID: id, Day: at.Format(time.DateOnly), What: "is missing in " + c.sides[stays[id]].target.String()})
	}
	return nil
}

// alone are the ids of a kind that are on a day in one store alone, each with the store
// that lacks it.
func (c *comparison) alone(ctx context.Context, kind store.Kind, at time.Time) (map[string]int, error) {
	to := at.Add(day)
	if to.After(c.before) {
		to = c.before
	}
	filter, err := within(kind, at, to)
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	for i, on := range c.sides {
		err := on.store.Scan(ctx, kind, filter, func(d store.Document) error {
			if _, both := found[d.ID]; both && i == 1 {
				delete(found, d.ID)
				return nil
			}
			found[d.ID] = 1 - i
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", on.target, err)
		}
	}
	return found, nil
}

// differ names a difference, once.
func (c *comparison) differ(d client.StoreDifference) {
	if slices.ContainsFunc(c.of.Differences, func(other client.StoreDifference) bool { return other.Kind == d.Kind && other.ID == d.ID }) {
		return
	}
	if len(c.of.Differences) == MaxDifferences {
		c.of.More++
		return
	}
	c.of.Differences = append(c.of.Differences, d)
}

// sampleDays is of how many days documents are compared, at most.
const sampleDays = 100

// errEnough ends a scan.
var errEnough = errors.New("enough")

// samples compares documents that one of the stores has, some of each day.
func (c *comparison) samples(ctx context.Context, kind store.Kind, of int, days []time.Time) (compared int, err error) {
	days = slices.Clone(days)
	rand.Shuffle(len(days), func(i, j int) { days[i], days[j] = days[j], days[i] })
	days = days[:min(len(days), sampleDays, c.sample)]
	for i, at := range days {
		wanted := (c.sample - compared) / (len(days) - i)
		// From some moment of the day on; where too little follows, from its beginning.
		from := at.Add(time.Duration(rand.Int64N(int64(day))))
		list, err := c.some(ctx, kind, of, from, at.Add(day), wanted)
		if err == nil && len(list) < wanted {
			list, err = c.some(ctx, kind, of, at, at.Add(day), wanted)
		}
		if err != nil {
			return compared, err
		}
		for k := range list {
			if err := c.document(ctx, kind, list[k]); err != nil {
				return compared, err
			}
		}
		compared += len(list)
	}
	return compared, nil
}

// some are ids of a kind within a span of time.
func (c *comparison) some(ctx context.Context, kind store.Kind, of int, from, to time.Time, wanted int) (ids []string, err error) {
	if to.After(c.before) {
		to = c.before
	}
	filter, err := within(kind, from, to)
	if err != nil || wanted == 0 {
		return nil, err
	}
	err = c.sides[of].store.Scan(ctx, kind, filter, func(d store.Document) error {
		if len(ids) == wanted {
			return errEnough
		}
		ids = append(ids, d.ID)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return ids, nil
}

// document compares one document.
func (c *comparison) document(ctx context.Context, kind store.Kind, id string) error {
	what := ""
	var seen [2]uint64
	// What changes between two looks is not counted: while events flow, one store is
	// ahead of the other for a moment, and for another one next.
	for try, look := 0, 0; try < compareTries && look < mostLooks; look++ {
		if look > 0 {
			if err := c.align(ctx); err != nil {
				return err
			}
		}
		var docs [2]store.Document
		var lacks [2]bool
		for i, on := range c.sides {
			var err error
			docs[i], err = on.store.Get(ctx, kind, id)
			if lacks[i] = errors.Is(err, store.ErrNotFound); err != nil && !lacks[i] {
				return fmt.Errorf("%s: %w", on.target, err)
			}
		}
		switch {
		case lacks[0] && lacks[1]: // it went meanwhile
			what = ""
		case lacks[0]:
			what = "is missing in " + c.sides[0].target.String()
		case lacks[1]:
			what = "is missing in " + c.sides[1].target.String()
		default:
			what = difference(&docs[0], &docs[1])
		}
		if what == "" {
			return nil
		}
		now := [2]uint64{docs[0].Version, docs[1].Version}
		if now == seen || look == 0 {
			try++
		}
		seen = now
	}
	c.differ(client.StoreDifference{Kind: string(kind), ID: id, What: what})
	return nil
}

// difference tells in what two documents of the same id differ, empty: in nothing.
func difference(a, b *store.Document) string {
	switch {
	case a.Version != b.Version:
		return fmt.Sprintf("has the versions %d and %d", a.Version, b.Version)
	case a.Config != b.Config:
		return fmt.Sprintf("was processed by the configurations %d and %d", a.Config, b.Config)
	case !bytes.Equal(a.Body, b.Body):
		at := 0
		for at < min(len(a.Body), len(b.Body)) && a.Body[at] == b.Body[at] {
			at++
		}
		return fmt.Sprintf("has bodies that differ at byte %d", at)
	case (a.Log == nil) != (b.Log == nil), a.Log != nil && (a.Log.Revision != b.Log.Revision || !bytes.Equal(a.Log.Changes, b.Log.Changes)):
		return "tells other changes"
	}
	return ""
}
