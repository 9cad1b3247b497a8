package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// A Directory is what routing asks the bus about identifiers and profiles.
type Directory interface {
	IdentityKey(kind, value string) bus.IdentityKey
	GetIdentities(ctx context.Context, keys []bus.IdentityKey) ([]bus.StoredIdentity, error)
	GetDocument(ctx context.Context, profile string) (data []byte, revision uint64, err error)
	DerivedProfile(kind, value string, gen uint64) string
	Partition(profile string) int
	Partitions() int
}

// A router decides whom an event is about, as far as the gateway can tell,
// and so which partition it goes to. What it knows may be stale: whoever
// applies the event looks again, and forwards it where needed. The cache keeps
// hashes in place of identifiers.
type router struct {
	directory Directory
	seeds     [2]maphash.Seed
	known     *recent[digest, *holder]
	byKey     *recent[bus.IdentityKey, *holder]
}

// A holder is what the gateway last knew of one identifier.
type holder struct{ state atomic.Pointer[holderState] }

type holderState struct {
	// profile holds the identifier, or will do so, most likely, once the event
	// that brought it is applied. Empty where nobody is known to.
	profile string
	until   time.Time // when it is to be looked up again, see staleFor
}

// A digest stands for a kind of identifier and a value.
type digest [2]uint64

const (
	routeEntries = 16 << 10 // of one generation, of two
	routeTTL     = time.Minute
	// strangerTTL is how long a profile id that nobody has is remembered as
	// such: short, because it may come to exist.
	strangerTTL = 2 * time.Second
	// lookUpTimeout leaves an append time to end within a second.
	lookUpTimeout = 450 * time.Millisecond
	// lookups bounds how many documents one request looks for at once.
	lookups = 16

	kindProfile = "profile" // of the cache alone: an id that we gave
)

func newRouter(d Directory) *router {
	return &router{
		directory: d,
		seeds:     [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		known:     newRecent[digest, *holder](routeEntries),
		byKey:     newRecent[bus.IdentityKey, *holder](routeEntries),
	}
}

// learn takes note of who holds an identifier, where it is one that was asked
// for.
func (r *router) learn(key bus.IdentityKey, profile string, now time.Time) {
	if h, ok := r.byKey.get(key); ok {
		h.state.Store(&holderState{profile: profile, until: now.Add(routeTTL)})
	}
}

// route sets profile and partition of the batch's acceptable events. It asks
// the bus once for all identifiers that it does not know.
func (r *router) route(ctx context.Context, b *batch, rules *rules, source string) error {
	var open []int
	for i := range b.events {
		e := &b.events[i]
		switch {
		case e.status == duplicate && e.first < 0:
			r.fromCache(b, e) // for a caller who waits
			continue
		case e.status != accepted:
			continue
		case e.ProfileLess:
			e.partition = int(binary.BigEndian.Uint32(e.id[:]) % uint32(r.directory.Partitions()))
			continue
		}
		if ids := e.IDs; len(ids) > 1 {
			if e.Static {
				ids = ids[1:] // the first one stays
			}
			slices.SortStableFunc(ids, rules.byStrength)
		}
		if !r.fromCache(b, e) {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		r.renew(ctx, b)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	found, err := r.lookUp(ctx, b, open)
	if err != nil {
		return fmt.Errorf("look up whom the events are about: %w", err)
	}
	for _, i := range open {
		r.settle(&b.events[i], found, source, b.received)
	}
	if b.together && len(b.events) > 1 {
		r.unite(b, source)
	}
	return nil
}

// unite sends the events that nothing identifies, nor the others of their request,
// to the profile that the first one makes, also where that one is a repetition.
func (r *router) unite(b *batch, source string) {
	var to string
	for i := range b.events {
		e := &b.events[i]
		if to == "" && e.status != invalid {
			to = r.directory.DerivedProfile(record.KindEventID, source+"/"+e.ID, 0)
		}
		if e.stranger {
			r.send(e, to)
		}
	}
}

// fromCache routes by the cache alone, where it knows enough.
func (r *router) fromCache(b *batch, e *event) bool {
	if e.Passed != "" {
		if h, ok := r.cached(r.digest(kindProfile, e.Passed), b.received); !ok {
			return false
		} else if h == "" {
			e.Passed = ""
		}
	}
	if e.Static {
		h, _ := r.recall(b, e.IDs[0].Kind, e.IDs[0].Value)
		return h != "" && r.send(e, h)
	}
	if e.bySession && e.Session != "" {
		h, ok := r.recall(b, record.KindSessionID, e.Session)
		if !ok {
			return false
		}
		if h != "" {
			return r.send(e, h)
		}
	}
	if e.Profile != "" {
		h, ok := r.cached(r.digest(kindProfile, e.Profile), b.received)
		if !ok {
			return false
		}
		if h != "" {
			return r.send(e, h)
		}
	}
	for i := range e.IDs {
		h, ok := r.recall(b, e.IDs[i].Kind, e.IDs[i].Value)
		if !ok {
			return false
		}
		if h != "" {
			return r.send(e, h)
		}
	}
	if e.Session != "" {
		if h, _ := r.recall(b, record.KindSessionID, e.Session); h != "" {
			return r.send(e, h)
		}
	}
	return false
}

func (r *router) send(e *event, profile string) bool {
	e.profile = profile
	e.partition = r.directory.Partition(profile)
	return true
}

// settle routes by what was looked up. An event that nobody holds an
// identifier of makes a new profile, whose id follows from the strongest one.
func (r *router) settle(e *event, found map[digest]*looked, source string, now time.Time) {
	if e.Passed != "" && r.holds(r.digest(kindProfile, e.Passed), found, now) == "" {
		e.Passed = ""
	}
	if e.bySession && e.Session != "" {
		if h := r.holds(r.digest(record.KindSessionID, e.Session), found, now); h != "" {
			r.send(e, h)
		}
	}
	if e.Profile != "" && e.profile == "" {
		if h := r.holds(r.digest(kindProfile, e.Profile), found, now); h != "" {
			r.send(e, h)
		}
	}
	var room [4]record.Identifier
	ids := append(room[:0], e.IDs...)
	if e.Session != "" {
		ids = append(ids, record.Identifier{Kind: record.KindSessionID, Value: e.Session})
	}
	telling := ids
	if e.Static {
		telling = ids[:1]
	}
	for i := 0; i < len(telling) && e.profile == ""; i++ {
		if h := r.holds(r.digest(ids[i].Kind, ids[i].Value), found, now); h != "" {
			r.send(e, h)
		}
	}
	if e.profile == "" && e.Passed != "" {
		r.send(e, e.Passed)
	}
	if e.profile == "" && e.ByFingerprint() {
		mark := e.FingerprintIdentifier()
		if l := found[r.digest(mark.Kind, mark.Value)]; l.Profile != "" {
			r.send(e, l.Profile)
		}
	}
	if e.profile == "" {
		strongest := record.Identifier{Kind: record.KindEventID, Value: source + "/" + e.ID}
		if e.stranger = len(ids) == 0; !e.stranger {
			strongest = ids[0]
		}
		var gen uint64
		if l := found[r.digest(strongest.Kind, strongest.Value)]; l != nil {
			gen = l.Gen
		}
		r.send(e, r.directory.DerivedProfile(strongest.Kind, strongest.Value, gen))
	}
	if e.TransientProfile {
		return // nobody comes to hold an identifier by it
	}
	for _, id := range ids {
		mark := r.digest(id.Kind, id.Value)
		if l := found[mark]; l != nil && r.holds(mark, found, now) == "" {
			r.put(mark, l.key, e.profile, now.Add(routeTTL))
		}
	}
}

func (r *router) holds(mark digest, found map[digest]*looked, now time.Time) string {
	if h, _ := r.cached(mark, now); h != "" {
		return h
	}
	if l := found[mark]; l != nil {
		return l.Profile
	}
	return ""
}

// looked is what the bus said of an identifier.
type looked struct {
	record.Identity
	key bus.IdentityKey
}

// lookUp asks the bus for all identifiers of the open events that the cache
// does not know, and puts what it finds into the cache.
func (r *router) lookUp(ctx context.Context, b *batch, open []int) (map[digest]*looked, error) {
	found := map[digest]*looked{}
	var asked []*looked
	var digests []digest
	var keys []bus.IdentityKey
	var profiles []string
	want := func(kind, value string) bool {
		mark := r.digest(kind, value)
		if _, ok := r.cached(mark, b.received); ok {
			return false
		}
		if _, ok := found[mark]; ok {
			return false
		}
		l := &looked{}
		found[mark] = l
		if kind != kindProfile {
			l.key = r.directory.IdentityKey(kind, value)
			asked, digests, keys = append(asked, l), append(digests, mark), append(keys, l.key)
		}
		return true
	}
	for _, i := range open {
		e := &b.events[i]
		if e.Profile != "" && want(kindProfile, e.Profile) {
			profiles = append(profiles, e.Profile)
		}
		for _, id := range e.IDs {
			want(id.Kind, id.Value)
		}
		if e.Session != "" {
			want(record.KindSessionID, e.Session)
		}
		if e.Passed != "" && want(kindProfile, e.Passed) {
			profiles = append(profiles, e.Passed)
		}
		if e.Fingerprint != "" {
			mark := e.FingerprintIdentifier()
			want(mark.Kind, mark.Value)
		}
	}
	if err := r.lookUpProfiles(ctx, profiles, found, b.received); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return found, nil
	}
	for i := range b.renewals { // in one go
		keys = append(keys, b.renewals[i].key)
	}
	identities, err := r.directory.GetIdentities(ctx, keys)
	if err != nil {
		return nil, err
	}
	r.renewed(b, identities[len(asked):])
	for i := range asked {
		asked[i].Identity = identities[i].Identity
		if asked[i].TTL > 0 { // too short to be remembered
			if bus.Over(asked[i].Identity, identities[i].Written, b.received) {
				asked[i].Profile = ""
			}
			continue
		}
		if profile := asked[i].Profile; profile != "" {
			r.put(digests[i], keys[i], profile, b.received.Add(routeTTL))
		}
	}
	return found, nil
}

// lookUpProfiles finds out which profile ids exist.
func (r *router) lookUpProfiles(ctx context.Context, profiles []string, found map[digest]*looked, now time.Time) error {
	if len(profiles) == 0 {
		return nil
	}
	exist := make([]bool, len(profiles))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for i, profile := range profiles {
		group.Go(func() error {
			_, _, err := r.directory.GetDocument(ctx, profile)
			exist[i] = err == nil
			if errors.Is(err, bus.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, profile := range profiles {
		mark := r.digest(kindProfile, profile)
		h := &holder{}
		h.state.Store(&holderState{until: now.Add(strangerTTL)})
		if exist[i] {
			h.state.Store(&holderState{profile: profile, until: now.Add(routeTTL)})
			found[mark].Profile = profile
		}
		r.known.put(mark, h)
	}
	return nil
}

// cached returns the holder that the cache knows; false where it knows
// nothing, or nothing recent.
func (r *router) cached(mark digest, now time.Time) (profile string, ok bool) {
	h, ok := r.known.get(mark)
	if !ok {
		return "", false
	}
	s := h.state.Load()
	if !now.Before(s.until) {
		return "", false
	}
	return s.profile, true
}

func (r *router) put(mark digest, key bus.IdentityKey, profile string, until time.Time) {
	h := &holder{}
	h.state.Store(&holderState{profile: profile, until: until})
	r.known.put(mark, h)
	r.byKey.put(key, h)
}

func (r *router) digest(kind, value string) (d digest) {
	for i, seed := range r.seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		_, _ = h.WriteString(kind)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(value)
		d[i] = h.Sum64()
	}
	return d
}
