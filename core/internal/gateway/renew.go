package gateway

import (
	"context"
	"time"

	"github.com/tributary-bus/tributary/core/internal/bus"
)

const (
	// staleFor is how long what is due to be looked up again is still used: who
	// applies an event looks himself. So that nobody waits, and many callers that come back after
	// a pause do not ask for everything at once, a request asks for few of them.
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
	mark := r.fingerprint(kind, value)
	h, ok := r.known.get(mark)
	if !ok {
		return "", false
	}
	s := h.state.Load()
	if b.received.Before(s.until) {
		return s.profile, true
	}
	if s.profile == "" || !b.received.Before(s.until.Add(staleFor)) {
		return "", false
	}
	if len(b.renewals) < renewMost && h.state.CompareAndSwap(s, &holderState{profile: s.profile, until: b.received.Add(renewRest)}) {
		b.renewals = append(b.renewals, renewal{key: r.directory.IdentityKey(kind, value), mark: mark})
	}
	return s.profile, true
}

// A renewal is an identifier to be looked up again.
type renewal struct {
	key  bus.IdentityKey
	mark fingerprint
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

// renewed takes note of the answer.
func (r *router) renewed(b *batch, found []bus.StoredIdentity) {
	for i := range found {
		until := b.received.Add(routeTTL)
		if found[i].Identity.Profile == "" {
			until = time.Time{} // to be looked up by who needs it
		}
		r.put(b.renewals[i].mark, b.renewals[i].key, found[i].Identity.Profile, until)
	}
}
