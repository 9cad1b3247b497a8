package processor

import (
	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

// A claim is an identifier of an event and who holds its key.
type claim struct {
	record.Identifier
	key    bus.IdentityKey
	holder string // profile id, empty where nobody holds it
	gen    uint64
	// foreign is true for an anonymous id that another user's profile holds
	// than the event's.
	foreign bool
}

// A decision says what becomes of an event that reached a profile.
type decision struct {
	// forward names the profile that the event belongs to instead, empty
	// where it is applied here. settled goes with it.
	forward string
	settled bool
	// take are the claims, by index, whose keys become this profile's: those
	// that nobody holds and those that move to it.
	take []int
}

// route decides whom an event is about, at the profile it was sent to:
// doc is that profile's document, nil where nobody has the id yet, and claims
// are the event's identifiers, the strongest first.
//
// The rules, in the order of the contract: a person has one user id, so an
// event of another user is another person's, and so is one whose user id
// somebody else holds, unless the event names the profile; whoever holds the
// strongest identifier is meant; identifiers that nobody holds become the
// profile's. An anonymous id or a session follows its event to the other user.
//
// Of a static event the first claim alone decides, and an anonymous id or a session
// follows it.
func route(profile string, doc *record.Document, claims []claim, named, settled, static bool, derive func(claim) string) decision {
	if static {
		to := claims[0].holder
		if to == "" {
			to = derive(claims[0])
		}
		if to != profile {
			return decision{forward: to}
		}
		settled = true
	}
	if doc != nil && !settled {
		user := find(claims, record.KindUser)
		elsewhere := user != nil && user.holder != "" && user.holder != profile && !named
		if user != nil && (elsewhere || !isUser(doc, user.Value)) {
			to := user.holder
			if to == "" {
				to = derive(*user)
			}
			if to != profile {
				return decision{forward: to, settled: true}
			}
		}
	}
	if doc == nil && !settled {
		for _, c := range claims {
			if c.holder == profile {
				break
			}
			if c.holder != "" {
				return decision{forward: c.holder}
			}
		}
	}
	var d decision
	for i, c := range claims {
		moves := c.Kind == record.KindAnonymous && (settled || c.foreign) || c.Kind == record.KindSessionID
		if c.holder == "" || moves && c.holder != profile {
			d.take = append(d.take, i)
		}
	}
	return d
}

// isUser tells whether a profile may be the user's: it is, or it is no user's yet.
func isUser(doc *record.Document, user string) bool {
	users := doc.Profile.Identities[record.KindUser]
	for _, u := range users {
		if u == user {
			return true
		}
	}
	return len(users) == 0
}

func find(claims []claim, kind string) *claim {
	for i := range claims {
		if claims[i].Kind == kind {
			return &claims[i]
		}
	}
	return nil
}
