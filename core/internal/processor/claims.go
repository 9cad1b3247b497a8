package processor

import (
	"errors"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/fold"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// claims makes claims of identifiers, and their keys. Who holds them is filled in by
// hold.
func (n *Processor) claims(list []record.Identifier) ([]fold.Claim, []bus.IdentityKey) {
	if len(list) == 0 {
		return nil, nil
	}
	claims, keys := make([]fold.Claim, len(list)), make([]bus.IdentityKey, len(list))
	for i, id := range list {
		claims[i].Identifier = id
		keys[i] = n.bus.IdentityKey(id.Kind, id.Value)
	}
	return claims, keys
}

// hold fills in who holds the claims' keys.
func (b *batch) hold(it *item) error {
	if !b.node.sole && it.Forwards > 1 {
		// Two partitions send it to and fro: what one of them knows is not so any more.
		for _, key := range it.keys {
			if h, ok := b.held[key]; ok && h.By != b.id() {
				delete(b.held, key)
			}
			if _, ok := b.held[key]; !ok {
				b.node.holdings.drop(key)
			}
		}
	}
	for i := range it.claims {
		h, err := b.holding(it.keys[i])
		if err != nil {
			return err
		}
		c := &it.claims[i]
		c.Holder, c.From, c.Gen, c.Foreign = h.Profile, "", h.Gen, false
		c.Late = !h.ErasedAt.IsZero() && !it.Received.After(h.ErasedAt)
	}
	return nil
}

// findForeign marks the anonymous ids that another user's profile holds than the one
// the event is about: they follow their event.
func (b *batch) findForeign(f *fold.Fold) error {
	user, suspects := f.Suspects()
	for _, i := range suspects {
		e, err := b.node.readDocument(b.ctx, f.Claims[i].Holder)
		if err != nil {
			return err
		}
		f.Claims[i].Foreign = fold.IsForeign(e.doc, user)
	}
	return nil
}

// derive is the id of the person whom an identifier that nobody holds makes.
func (b *batch) derive(c fold.Claim) string { return b.node.bus.DerivedProfile(c.Kind, c.Value, c.Gen) }

// claim makes the profile the holder of the keys that the decision names. It
// answers true where another partition was quicker: then the claims are read
// anew, and the event has to be routed again.
//
// A key that nobody holds is created at once, before the commit, so that no
// two profiles ever believe to hold it; a key that moves is an effect.
func (b *batch) claim(it *item, d fold.Decision) (again bool, err error) {
	for _, i := range d.Take {
		key := it.keys[i]
		h, err := b.holding(key)
		if err != nil {
			return false, err
		}
		if h.Profile != "" {
			continue // it moves, once all others are taken
		}
		next := holding{Identity: record.Identity{Profile: it.Profile, Gen: h.Gen, ErasedAt: h.ErasedAt, TTL: b.lasts(it, i), By: b.id()}, renewed: b.node.now()}
		if next.revision, err = b.create(key, next.Identity, h.revision); err != nil {
			if !errors.Is(err, bus.ErrExists) && !errors.Is(err, bus.ErrConflict) {
				return false, fmt.Errorf("create identity: %w", err)
			}
			for _, stale := range it.keys {
				b.node.holdings.drop(stale)
				delete(b.held, stale)
			}
			return true, b.hold(it)
		}
		b.node.step(StepKey)
		b.held[key] = next
		holder := record.Holder{Key: string(key), Identity: next.Identity, From: h.By, Revision: h.revision}
		b.created = append(b.created, holder)
		b.node.holdings.wrote(key, next)
		b.note(holder)
		it.claims[i].Holder = it.Profile
	}
	for _, i := range d.Take {
		if cl := &it.claims[i]; cl.Holder != it.Profile {
			cl.From, cl.Holder = cl.Holder, it.Profile
			b.move(it, fold.Move{Claim: i, To: it.Profile})
		}
	}
	return false, nil
}

// move lets a key go to another holder, or to nobody, as an effect of the commit.
func (b *batch) move(it *item, m fold.Move) {
	key := it.keys[m.Claim]
	h := b.held[key]
	next := holding{Identity: record.Identity{Profile: m.To, Gen: h.Gen, ErasedAt: h.ErasedAt, TTL: b.lasts(it, m.Claim), By: b.id()}, revision: h.revision, renewed: b.node.now()}
	if m.To == "" {
		next.Gen++
		if m.Erased.After(next.ErasedAt) {
			next.ErasedAt = m.Erased
		}
	}
	b.held[key] = next
	holder := record.Holder{Key: string(key), Identity: next.Identity, From: h.By, Revision: h.revision}
	b.moves = append(b.moves, holder)
	b.note(holder)
}

// note records a holder in the commit.
func (b *batch) note(h record.Holder) {
	b.commit.Holders = append(b.commit.Holders, h)
	b.weight += len(h.Key) + 64
}

func (b *batch) create(key bus.IdentityKey, id record.Identity, revision uint64) (uint64, error) {
	if revision > 0 {
		return b.node.bus.UpdateIdentity(b.ctx, key, id, revision)
	}
	return b.node.bus.CreateIdentity(b.ctx, key, id)
}

// lasts is for how long the key of a claim is kept; 0: as those of its kind are.
func (b *batch) lasts(it *item, claim int) time.Duration {
	if it.Event == nil || it.claims[claim].Kind != record.KindFingerprint {
		return 0
	}
	if ttl := b.rules.Fingerprint(it.Event); ttl > 0 {
		return ttl
	}
	return b.held[it.keys[claim]].TTL // its source has no such setting any more
}

// renewKeys writes the keys of an event's session and of its fingerprint again once in
// a while, so that those in use outlive their time to live.
func (b *batch) renewKeys(it *item) {
	e := it.Event
	if e == nil || e.TransientProfile {
		return
	}
	for i := len(it.claims) - 1; i >= 0; i-- { // they come last
		switch it.claims[i].Kind {
		case record.KindFingerprint:
			if ttl := b.rules.Fingerprint(e); ttl > 0 {
				b.renewKey(it, i, ttl/3, ttl)
			}
		case record.KindSessionID:
			if !b.rules.Ephemeral(e) {
				b.renewKey(it, i, sessionTTL, 0)
			}
		default:
			return
		}
	}
}

// renewKey writes the key of a claim again that is older than that, if the profile
// holds it.
func (b *batch) renewKey(it *item, claim int, age, ttl time.Duration) {
	if it.claims[claim].Holder != it.Profile {
		return
	}
	key := it.keys[claim]
	h, err := b.holding(key)
	if now := b.node.now(); err == nil && (now.Sub(h.renewed) > age || h.TTL != ttl) {
		h.renewed, h.TTL = now, ttl
		b.held[key] = h
		b.renew = append(b.renew, key)
	}
}

// sessionTTL is how seldom the key of a session in use is written again.
const sessionTTL = time.Hour
