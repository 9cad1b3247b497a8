package gateway

import (
	"context"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
)

const (
	// staleFor is how long what is due to be looked up again is still used, of
	// identifiers that stay with a person: many callers that come back after a pause
	// then do not ask for everything at once, since a request asks for few of them.
	staleFor = 10 * time.Minute
	// renewMost is how many identifiers a request looks up again at most.
	renewMost = 8
	// renewTimeout is how long it waits for that.
	renewTimeout = 100 * time.Millisecond
	// renewRest is when it is tried again where that failed.
	renewRest = 5 * time.Second
)

// recall returns who holds an identifier as far as the cache knows. What it
// knows for long is noted in the batch, to be looked up again.
func (r *router) recall(b *batch, kind, value string) (profile string, ok bool) {
	mark := r.digest(kind, value)
	h, ok := r.known.get(mark)
	if !ok {
		return "", false
	}
	s := h.state.Load()
	if b.received.Before(s.until) {
		return s.profile, true
	}
	if record.Moves(kind) || s.profile == "" || !b.received.Before(s.until.Add(staleFor)) {
		return "", false
	}
	if len(b.renewals) < renewMost {
		asked := &holderState{profile: s.profile, until: b.received.Add(renewRest)}
		if h.state.CompareAndSwap(s, asked) {
			b.renewals = append(b.renewals, renewal{key: r.directory.IdentityKey(kind, value), holder: h, asked: asked})
		}
	}
	return s.profile, true
}

// A renewal is an identifier to be looked up again.
type renewal struct {
	key    bus.IdentityKey
	holder *holder
	asked  *holderState // what the cache says meanwhile
}

// renew looks up again what the batch has noted. Without an answer what was known stays.
func (r *router) renew(ctx context.Context, b *batch) {
	if len(b.renewals) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	keys := make([]bus.IdentityKey, len(b.renewals))
	for i := range b.renewals {
		keys[i] = b.renewals[i].key
	}
	if found, err := r.directory.GetIdentities(ctx, keys); err == nil {
		r.renewed(b, found)
	}
}

// renewed takes note of the answer, unless a commit has said meanwhile who holds
// the identifier.
func (r *router) renewed(b *batch, found []bus.StoredIdentity) {
	for i := range found {
		until := b.received.Add(routeTTL)
		if found[i].Identity.Profile == "" {
			until = time.Time{} // to be looked up by who needs it
		}
		b.renewals[i].holder.state.CompareAndSwap(b.renewals[i].asked, &holderState{profile: found[i].Identity.Profile, until: until})
	}
}
