package fold

import (
	"slices"

	"github.com/tributary-bus/tributary/core/internal/record"
)

// route decides whom an event is about, at the profile it was sent to.
//
// The rules, in the order of the contract: a person has one user id, so an
// event of another user is another person's, and so is one whose user id
// somebody else holds, unless the event names the profile; whoever holds the
// strongest identifier is meant; identifiers that nobody holds become the
// profile's, as far as its kind's limit allows. An anonymous id of another user,
// a session, and a fingerprint, follow their event. A fingerprint tells whom the event
// is about where it would otherwise be somebody new, and nothing in it is a person's.
//
// Of a static event the first claim alone decides, and an anonymous id or a session
// follows it.
func (f *Fold) route() Decision {
	c := f.Command
	static := c.Event.Static && len(c.Event.IDs) > 0
	settled := c.Settled
	if static {
		to := f.Claims[0].Holder
		if to == "" {
			to = f.Derive(f.Claims[0])
		}
		if to != c.Profile && !f.has(to) {
			return Decision{Forward: to}
		}
		settled = true
	}
	if user := find(f.Claims, record.KindUser); user != nil && !static {
		named := f.Doc != nil && c.Event.Profile != "" && f.has(c.Event.Profile)
		elsewhere := user.Holder != "" && !f.has(user.Holder) && !named && (f.Doc != nil || settled)
		if elsewhere || f.Doc != nil && !isUser(f.Doc, user.Value) {
			return f.toUser(user)
		}
	}
	if f.Doc == nil && !settled {
		for i := range f.Claims {
			claim := &f.Claims[i]
			if claim.Holder == c.Profile {
				break
			}
			if claim.Holder != "" && f.tells(claim) {
				return Decision{Forward: claim.Holder}
			}
		}
	}
	return Decision{Take: f.takes(static)}
}

// toUser sends the event to the profile of its user. Where this one holds the user's
// key and is another user's, because a commit that was to make it this user's was
// never made, it gives the key away with the event.
func (f *Fold) toUser(user *Claim) Decision {
	if user.Holder != "" && !f.has(user.Holder) {
		return Decision{Forward: user.Holder, Settled: true}
	}
	next := *user
	d := Decision{Forward: f.Derive(next), Settled: true}
	for f.has(d.Forward) {
		next.Gen++
		d.Forward = f.Derive(next)
	}
	if user.Holder != "" {
		d.Give = []int{slices.IndexFunc(f.Claims, func(c Claim) bool { return c.Kind == record.KindUser })}
	}
	return d
}

// takes are the claims whose keys become the profile's.
func (f *Fold) takes(static bool) (take []int) {
	if f.Command.Event.TransientProfile {
		return nil
	}
	for i := range f.Claims {
		claim := &f.Claims[i]
		switch {
		case claim.Holder == f.Command.Profile:
		case claim.Kind == record.KindFingerprint:
			if f.Rules.Fingerprint(f.Command.Event) > 0 {
				take = append(take, i)
			}
		case claim.Kind == record.KindSessionID:
			if !f.ephemeral {
				take = append(take, i)
			}
		case claim.Holder == "":
			if !f.atLimit(claim.Identifier) {
				take = append(take, i)
			}
		case f.has(claim.Holder), claim.Kind == record.KindAnonymous && (static || claim.Foreign):
			take = append(take, i)
		}
	}
	return take
}

// tells tells whether whoever holds the claim is whom the event is about, if none of
// those before it is held.
func (f *Fold) tells(claim *Claim) bool {
	e := f.Command.Event
	return claim.Kind != record.KindFingerprint || e.ByFingerprint() && f.Rules.Fingerprint(e) > 0
}

// has tells whether an id is one of the profile's: its own, or that of one which
// was merged into it.
func (f *Fold) has(id string) bool {
	return id == f.Command.Profile || f.live() && slices.Contains(f.Doc.Profile.IDs, id)
}

// atLimit tells whether the profile has as many identifiers of the kind as it may
// have, and the one not among them.
func (f *Fold) atLimit(id record.Identifier) bool {
	if f.Doc == nil {
		return false
	}
	kind, ok := f.Rules.set.Kind(id.Kind)
	values := f.Doc.Profile.Identities[id.Kind]
	return ok && kind.Limit > 0 && len(values) >= kind.Limit && !slices.Contains(values, id.Value)
}

// isUser tells whether a profile may be the user's: it is, or it is no user's yet.
func isUser(doc *record.Document, user string) bool {
	users := doc.Profile.Identities[record.KindUser]
	return len(users) == 0 || slices.Contains(users, user)
}

// IsForeign tells whether an anonymous id that doc's profile holds follows an event of
// the user: it is another user's.
func IsForeign(doc *record.Document, user string) bool {
	return doc != nil && doc.State == record.StateLive && !isUser(doc, user)
}

func find(claims []Claim, kind string) *Claim {
	for i := range claims {
		if claims[i].Kind == kind {
			return &claims[i]
		}
	}
	return nil
}

// Suspects are the claims of an event, by index, whose holder's document tells
// whether they are foreign; none where nothing depends on it.
func (f *Fold) Suspects() (user string, suspects []int) {
	if f.Command.Kind != record.KindEvent || f.Command.Profile == "" {
		return "", nil
	}
	claim := find(f.Claims, record.KindUser)
	if claim == nil || claim.Holder != "" && !f.has(claim.Holder) {
		return "", nil
	}
	for i := range f.Claims {
		c := &f.Claims[i]
		if c.Kind == record.KindAnonymous && c.Holder != "" && !f.has(c.Holder) {
			suspects = append(suspects, i)
		}
	}
	return claim.Value, suspects
}
