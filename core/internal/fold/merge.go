package fold

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/profile"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// Two profiles that share an identifier are one person. Whoever meets an identifier
// that another profile holds proposes to that one; the younger of the two becomes a
// redirect to the older and sends what it was, which the older absorbs. Ranks
// decide, so that both sides agree without asking anybody, and only the younger
// one's own partition ever turns it into a redirect.
//
// A person has one user id. A profile gives itself up only to one that has no other
// user, or had agreed to have the same: it is asked first, and then keeps the user
// id in advance, since it could come to another before what it absorbs arrives.

// rankOf is the rank of a live profile.
func rankOf(p *sdk.Profile) record.Rank { return record.Rank{Created: p.Created, ID: p.ID} }

// propose tells who holds, or held until now, an identifier of the event that they
// are the same person, and so whom a link from another site names.
func (f *Fold) propose() {
	if f.Command.Event.Static {
		return
	}
	user := find(f.Claims, record.KindUser)
	var peers []peer
	for i := range f.Claims {
		claim := &f.Claims[i]
		if user != nil && !f.has(user.Holder) && user != claim {
			continue // first of all it is the user's
		}
		if f.ephemeral && claim.Kind == record.KindSessionID {
			continue // it stays whose it is
		}
		if claim.Kind == record.KindFingerprint {
			continue // browsers that look alike are not one person's
		}
		other := claim.Holder
		if f.has(other) {
			other = claim.From
		}
		if other == "" || f.has(other) {
			continue
		}
		at := slices.IndexFunc(peers, func(p peer) bool { return p.id == other })
		if at < 0 {
			at, peers = len(peers), append(peers, peer{id: other})
		}
		peers[at].shared = append(peers[at].shared, claim.Identifier)
	}
	if to := f.Command.Event.Passed; to != "" && !f.has(to) && (user == nil || f.has(user.Holder)) &&
		!slices.ContainsFunc(peers, func(p peer) bool { return p.id == to }) {
		peers = append(peers, peer{id: to}) // they share no identifier but the link
	}
	for _, p := range peers {
		f.proposeTo(p.id, p.shared)
	}
}

// A peer is a profile that holds identifiers of an event that another one applies.
type peer struct {
	id     string
	shared []record.Identifier
}

// proposeTo sends a proposal about what both have.
func (f *Fold) proposeTo(to string, shared []record.Identifier) {
	p := f.Doc.Profile
	// Whether the two may be one depends on these alone.
	limited := map[string][]string{}
	for _, kind := range f.Rules.set.LimitedKinds() {
		if values := p.Identities[kind.Name]; len(values) > 0 {
			limited[kind.Name] = values
		}
	}
	f.send(record.KindMerge, to, record.AppendMerge(nil, &record.Merge{Peer: rankOf(p), Shared: shared, Identities: limited}))
}

// send sends a command to another profile.
func (f *Fold) send(kind record.Kind, to string, body []byte) {
	f.result.Commands = append(f.result.Commands, record.Command{
		Kind: kind, Profile: to, Hops: f.Command.Hops, Received: f.Command.Received, Body: body,
	})
}

// applyMerge answers a proposal.
func (f *Fold) applyMerge() {
	f.result.Applied = true
	m := f.merge
	peer := m.Peer.ID
	switch {
	case f.Doc == nil && len(m.Shared) == 0:
		return // a link named somebody who is not there
	case f.Doc == nil:
		// Nobody: a key was taken for a profile that never came to be, or not yet.
		f.redirect(m)
		return
	case f.Doc.State == record.StateErased:
		for i := range f.Claims {
			f.moveShared(i, peer)
		}
		return
	case f.has(peer):
		return
	}
	p := f.Doc.Profile
	mine, theirs := p.Identities[record.KindUser], m.Identities[record.KindUser]
	switch {
	case len(mine) > 0 && len(theirs) > 0 && !slices.Equal(mine, theirs):
		f.part(m)
	case rankOf(p).Before(m.Peer):
		if len(mine) == 0 && len(theirs) > 0 {
			if f.tooMany(m) {
				return // it would take a user over who does not come
			}
			p.Identities[record.KindUser] = slices.Clone(theirs)
			p.Revision++
			f.changed(64 + len(theirs[0]))
			f.logChange(mergeWith(peer), f.valuesAt([]sdk.Path{{"identities", record.KindUser}}))
		}
		f.proposeTo(peer, m.Shared)
	case len(mine) > 0 && len(theirs) == 0:
		f.proposeTo(peer, m.Shared) // it has to agree to the user first
	default:
		if f.tooMany(m) {
			return
		}
		f.redirect(m)
	}
}

// part lets go of what belongs to another user: identifiers that go from person to
// person follow the event that the proposal came of, others stay.
func (f *Fold) part(m *record.Merge) {
	p := f.Doc.Profile
	var changed []sdk.Path
	for i := range f.Claims {
		claim := &f.Claims[i]
		if !record.Moves(claim.Kind) {
			continue
		}
		f.moveShared(i, m.Peer.ID)
		values := p.Identities[claim.Kind]
		at := slices.Index(values, claim.Value)
		if at < 0 {
			continue
		}
		if values = slices.Delete(slices.Clone(values), at, at+1); len(values) == 0 {
			delete(p.Identities, claim.Kind)
		} else {
			p.Identities[claim.Kind] = values
		}
		changed = append(changed, sdk.Path{"identities", claim.Kind})
	}
	if len(changed) > 0 {
		p.Revision++
		f.changed(0)
		f.logChange(mergeWith(m.Peer.ID), f.valuesAt(changed))
	}
}

// moveShared gives a shared identifier's key to the peer, if the profile holds it.
func (f *Fold) moveShared(claim int, peer string) {
	if f.Claims[claim].Holder == f.Command.Profile {
		f.result.Moves = append(f.result.Moves, Move{Claim: claim, To: peer})
	}
}

// tooMany tells whether the two would have more identifiers of a kind than its limit
// allows.
func (f *Fold) tooMany(m *record.Merge) bool {
	kind := f.overLimit(m)
	if kind != "" {
		f.problem(fmt.Errorf("profiles %s and %s are not merged: they would have more identifiers of the kind %s than its limit allows", f.Doc.Profile.ID, m.Peer.ID, kind))
	}
	return kind != ""
}

// overLimit names a kind of identifier of which the two would have too many.
func (f *Fold) overLimit(m *record.Merge) string {
	p := f.Doc.Profile
	for _, kind := range f.Rules.set.LimitedKinds() {
		if kind.Name == record.KindUser {
			continue
		}
		n := len(m.Identities[kind.Name])
		for _, value := range p.Identities[kind.Name] {
			if !slices.Contains(m.Identities[kind.Name], value) {
				n++
			}
		}
		if n > kind.Limit && len(p.Identities[kind.Name]) > 0 {
			return kind.Name
		}
	}
	return ""
}

// redirect gives the profile up to the peer and sends what it was.
func (f *Fold) redirect(m *record.Merge) {
	absorb := record.Absorb{From: f.Command.Profile, Shared: m.Shared}
	if f.Doc != nil {
		absorb.Document = f.Doc.AppendJSON(nil)
		f.leaveSessions()
	}
	f.send(record.KindAbsorb, m.Peer.ID, record.AppendAbsorb(nil, &absorb))
	f.Doc = &record.Document{State: record.StateRedirect, To: m.Peer.ID, Rank: m.Peer}
	f.result.Size = 256
	f.changed(0)
}

// applyRedirect shortens a redirect whose target was itself merged.
func (f *Fold) applyRedirect() {
	f.result.Applied = true
	d, err := record.ParseRedirect(f.Command.Body)
	switch {
	case err != nil:
		f.refuse(err.Error())
	case f.Doc != nil && f.Doc.State == record.StateRedirect && d.To.Before(f.Doc.Rank):
		f.Doc.To, f.Doc.Rank = d.To.ID, d.To
		f.changed(0)
	}
}

// An absorption is what a profile takes over.
type absorption struct {
	record.Absorb
	doc *record.Document // nil: nobody had the id
}

func parseAbsorption(body []byte) (*absorption, error) {
	a, err := record.ParseAbsorb(body)
	if err != nil {
		return nil, err
	}
	out := &absorption{Absorb: *a}
	if len(a.Document) > 0 {
		if out.doc, err = record.ParseDocument(a.Document); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ids are the ids that redirect to the profile from now on.
func (a *absorption) ids() []string {
	if a.doc == nil {
		return []string{a.From}
	}
	return a.doc.Profile.IDs
}

// identifiers are those whose keys the profile takes over.
func (a *absorption) identifiers() []record.Identifier {
	list := slices.Clone(a.Shared)
	if a.doc != nil {
		list = append(list, identifiersOf(a.doc)...)
	}
	return list
}

// identifiersOf lists the identifiers that a live profile has, in a fixed order.
func identifiersOf(doc *record.Document) []record.Identifier {
	var list []record.Identifier
	for _, kind := range slices.Sorted(maps.Keys(doc.Profile.Identities)) {
		for _, value := range doc.Profile.Identities[kind] {
			list = append(list, record.Identifier{Kind: kind, Value: value})
		}
	}
	for _, s := range doc.Sessions {
		list = append(list, record.Identifier{Kind: record.KindSessionID, Value: s.ID})
	}
	return list
}

// shortened bounds how many redirects one absorption shortens; the others go on
// by way of the profile that was absorbed.
const shortened = 256

// applyAbsorb makes another profile part of this one. It is never refused: who was
// merged is a redirect already, and what it was is nowhere else.
func (f *Fold) applyAbsorb() {
	f.result.Applied = true
	a := f.absorb
	ids := a.ids()
	relink := func(to string, erased time.Time) {
		for i := range f.Claims {
			if holder := f.Claims[i].Holder; holder != "" && holder != to && slices.Contains(ids, holder) {
				f.result.Moves = append(f.result.Moves, Move{Claim: i, To: to, Erased: erased})
			}
		}
	}
	switch {
	case f.Doc != nil && f.Doc.State == record.StateErased:
		relink("", f.Doc.ErasedAt)
		for _, id := range ids {
			if !slices.Contains(f.Doc.IDs, id) {
				f.Doc.IDs = append(f.Doc.IDs, id)
			}
		}
		f.changed(0)
		return
	case f.Doc == nil:
		// Its commit was lost with what it was; what it takes over stands.
		f.Doc = &record.Document{State: record.StateLive, Profile: sdk.NewProfile(f.Command.Profile, f.Command.Received)}
	case f.has(a.From):
		return
	}
	var before profile.Snapshot
	if a.doc != nil {
		before = profile.Remember(f.Doc.Profile)
	}
	trimmed := f.unite(a.doc)
	p := f.Doc.Profile
	for _, id := range ids {
		if !slices.Contains(p.IDs, id) {
			p.IDs = append(p.IDs, id)
		}
	}
	relink(p.ID, time.Time{})
	f.Doc.Profile.Revision++
	f.Doc.Profile.Updated = later(p.Updated, f.Command.Received)
	f.changed(len(a.Document))
	if a.doc != nil {
		f.logChange(mergeWith(a.From), before.Changes(f.Doc.Profile))
	}
	to := record.AppendRedirect(nil, &record.Redirect{To: rankOf(p)})
	for i, id := range ids {
		if i > 0 && i <= shortened {
			f.send(record.KindRedirect, id, to)
		}
	}
	taken := f.sessionsOf(a.doc)
	f.tell(record.TypeProfileMerged, mergedProperties(a.From, trimmed))
	f.bound(sessionsKept, f.tellOf)
	f.tellSessions(taken)
}

// unite adds another profile's document to this one's; it names what had to be left
// out because the two together are too large.
func (f *Fold) unite(other *record.Document) (trimmed []string) {
	if other == nil {
		return nil
	}
	size := len(other.AppendJSON(nil))
	before, tight := f.guard(size)
	profile.Unite(f.Doc, other, f.Rules.set.Strategies(), f.Command.Received)
	for _, part := range profile.Trimmable {
		if !tight || len(f.Doc.AppendJSON(nil)) <= MaxDocument {
			break
		}
		f.restore(before)
		profile.Trim(other, part)
		trimmed = append(trimmed, part)
		profile.Unite(f.Doc, other, f.Rules.set.Strategies(), f.Command.Received)
	}
	return trimmed
}
