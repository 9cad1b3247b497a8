package processor

import (
	"errors"
	"fmt"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// claims returns an event's identifiers, the strongest first; the session comes
// last. Who holds them is filled in by hold.
func (n *Processor) claims(e *record.Event) []claim {
	if e.ProfileLess || len(e.IDs) == 0 && e.Session == "" {
		return nil
	}
	claims := make([]claim, 0, len(e.IDs)+1)
	for _, id := range e.IDs {
		claims = append(claims, claim{Identifier: id})
	}
	if e.Session != "" {
		claims = append(claims, claim{Identifier: record.Identifier{Kind: record.KindSessionID, Value: e.Session}})
	}
	for i := range claims {
		claims[i].key = n.bus.IdentityKey(claims[i].Kind, claims[i].Value)
	}
	return claims
}

// hold fills in who holds the claims' keys.
func (b *batch) hold(claims []claim) error {
	for i := range claims {
		h, err := b.holding(claims[i].key)
		if err != nil {
			return err
		}
		claims[i].holder, claims[i].gen = h.Profile, h.Gen
	}
	return nil
}

// findForeign marks the anonymous ids that another user's profile holds than
// the one the event is about: they follow their event.
func (b *batch) findForeign(profile string, claims []claim) error {
	user := find(claims, record.KindUser)
	if user == nil || user.holder != profile {
		return nil
	}
	for i := range claims {
		c := &claims[i]
		if c.Kind != record.KindAnonymous || c.holder == "" || c.holder == profile {
			continue
		}
		e, err := b.node.readDocument(b.ctx, c.holder)
		if err != nil {
			return err
		}
		c.foreign = e.doc != nil && !isUser(e.doc, user.Value)
	}
	return nil
}

// derive is the id of the person whom an identifier that nobody holds makes.
func (b *batch) derive(c claim) string { return b.node.bus.DerivedProfile(c.Kind, c.Value, c.gen) }

// take makes the profile the holder of the keys that the decision names. It
// answers true where another partition was quicker: then the claims are read
// anew, and the event has to be routed again.
//
// A key that nobody holds is created at once, before the commit, so that no
// two profiles ever believe to hold it; a key that moves is an effect.
func (b *batch) take(c *record.Command, claims []claim, d decision) (again bool, err error) {
	for _, i := range d.take {
		cl := &claims[i]
		key := cl.key
		h, err := b.holding(key)
		if err != nil {
			return false, err
		}
		next := holding{Identity: record.Identity{Profile: c.Profile, Gen: h.Gen, By: b.id()}, renewed: b.node.now()}
		holder := record.Holder{Key: string(key), Identity: next.Identity, From: h.By, Revision: h.revision}
		if h.Profile != "" {
			next.revision = h.revision
			b.held[key] = next
			b.moves = append(b.moves, holder)
		} else if next.revision, err = b.create(key, next.Identity, h.revision); err != nil {
			if !errors.Is(err, bus.ErrExists) && !errors.Is(err, bus.ErrConflict) {
				return false, fmt.Errorf("create identity: %w", err)
			}
			for _, stale := range claims {
				b.node.holdings.drop(stale.key)
				delete(b.held, stale.key)
			}
			return true, b.hold(claims)
		} else {
			b.held[key] = next
			b.created = append(b.created, holder)
			b.node.holdings.wrote(key, next)
		}
		b.commit.Holders = append(b.commit.Holders, holder)
		b.weight += len(key) + 64
		cl.holder = c.Profile
	}
	if !b.rules.ephemeral(c.Event) && !c.Event.TransientProfile {
		b.renewSession(claims, c.Profile)
	}
	return false, nil
}

func (b *batch) create(key bus.IdentityKey, id record.Identity, revision uint64) (uint64, error) {
	if revision > 0 {
		return b.node.bus.UpdateIdentity(b.ctx, key, id, revision)
	}
	return b.node.bus.CreateIdentity(b.ctx, key, id)
}

// renewSession writes the key of a session in use again, once an hour, so that
// it outlives its time to live.
func (b *batch) renewSession(claims []claim, profile string) {
	if len(claims) == 0 {
		return
	}
	last := claims[len(claims)-1]
	if last.Kind != record.KindSessionID || last.holder != profile {
		return
	}
	h, err := b.holding(last.key)
	if now := b.node.now(); err == nil && now.Sub(h.renewed) > sessionTTL {
		h.renewed = now
		b.held[last.key] = h
		b.renew = append(b.renew, last.key)
	}
}

// sessionTTL is how seldom the key of a session in use is written again.
const sessionTTL = time.Hour
