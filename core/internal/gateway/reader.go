package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/tributary-bus/tributary/core/internal/access"
	"github.com/tributary-bus/tributary/core/internal/live"
)

// What a connection may read, and what it listens to.

// grantOf returns what a token allows, or why it is refused.
func (g *Gateway) grantOf(ctx context.Context, token string) (*access.Grant, *refusal) {
	if g.options.Readers == nil {
		return nil, refuse(http.StatusUnauthorized, codeUnauthorized, access.ErrUnknown.Error())
	}
	grant, err := g.options.Readers.Grant(ctx, token)
	switch {
	case errors.Is(err, access.ErrKeys):
		return nil, unavailable(err.Error())
	case err != nil:
		return nil, refuse(http.StatusUnauthorized, codeUnauthorized, err.Error())
	}
	return grant, nil
}

// closingOf is what a connection whose token is refused is closed with.
func closingOf(r *refusal) closing {
	if r.temporary() {
		return closeUnready
	}
	return closeUnauthorized
}

// request checks what a client wants to listen to.
func (g *Gateway) request(grant *access.Grant, channel, filter string, from *live.Position) (live.Request, *refusal) {
	r := live.Request{Recover: from}
	c, err := live.ParseChannel(channel)
	switch {
	case grant == nil:
		return r, refuse(http.StatusForbidden, codeForbidden, "reading needs a token")
	case err != nil:
		return r, refuse(http.StatusNotFound, codeNotFound, clipped(channel)+": "+err.Error())
	case g.options.Live == nil:
		return r, refuse(http.StatusNotFound, codeNotFound, clipped(channel)+": this process has no live channels")
	case !grant.Reads(channel):
		return r, refuse(http.StatusForbidden, codeForbidden, "the token does not cover the channel "+clipped(channel))
	case filter != "" && !c.Filters():
		return r, &refusal{status: http.StatusBadRequest, problem: *fieldProblem(codeInvalid, "filter", "the channel "+c.String()+" has no filter: events and segments do")}
	}
	r.Channel = c
	if filter == "" {
		return r, nil
	}
	if r.Filter, err = g.options.Live.Compile(c, filter); err != nil {
		return r, &refusal{status: http.StatusBadRequest, problem: *fieldProblem(codeInvalid, "filter", err.Error())}
	}
	return r, nil
}

// listen subscribes a sink.
func (g *Gateway) listen(ctx context.Context, r live.Request, to live.Sink, begun func(live.Start)) (*live.Subscription, *refusal) {
	subscription, err := g.options.Live.Subscribe(ctx, r, to, begun)
	switch {
	case errors.Is(err, live.ErrNoProfile), errors.Is(err, live.ErrNoHealth):
		return nil, refuse(http.StatusNotFound, codeNotFound, err.Error())
	case err != nil:
		return nil, unavailable(err.Error())
	}
	return subscription, nil
}

// A subscription is one of a connection, which are few.
type subscription struct {
	channel string
	*live.Subscription
}

func (s *socket) granted(token string) (*access.Grant, *refusal) { return s.g.grantOf(s.ctx, token) }

// take makes a token the connection's, in the place of the one before. Where it
// ends, the connection does, and what it does not cover is not pushed any more.
func (s *socket) take(token string) *refusal {
	grant, refused := s.granted(token)
	if refused != nil {
		return refused
	}
	s.grant = grant
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
	}
	if !grant.Expires.IsZero() {
		s.expiry = time.AfterFunc(grant.Expires.Sub(s.g.now()), func() { s.end(closeExpired) })
	}
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(one subscription) bool {
		if s.grant.Reads(one.channel) {
			return false
		}
		one.Close()
		s.send(unsubscribedFrame(0, one.channel))
		return true
	})
	return nil
}

// refresh takes another token.
func (s *socket) refresh(c command) {
	if refused := s.take(c.token); refused != nil {
		s.refuse(c.id, refused)
		return
	}
	s.send(append(frame(c.id, "refreshed", 0), "}}"...))
}

// aside does what needs a deep stack on another one than the reader's, which
// would keep it for as long as the connection is idle. A panic is the caller's.
func aside(do func()) {
	done := make(chan any)
	go func() {
		defer func() {
			cause := recover()
			if cause != nil {
				cause = fmt.Sprintf("%v\n%s", cause, debug.Stack())
			}
			done <- cause
		}()
		do()
	}()
	if cause := <-done; cause != nil {
		panic(cause)
	}
}

func (s *socket) subscribe(c command) {
	r, refused := s.g.request(s.grant, c.channel, c.filter, c.from)
	switch {
	case refused != nil:
	case s.subscribed(c.channel) >= 0:
		refused = refuse(http.StatusConflict, codeInvalid, "already subscribed to "+c.channel)
	case len(s.subscriptions) >= maxSubscriptions:
		refused = refuse(http.StatusConflict, codeInvalid, "a connection may listen to 64 channels at most; unsubscribe, or use another connection")
	}
	if refused != nil {
		s.refuse(c.id, refused)
		return
	}
	one, refused := s.g.listen(s.ctx, r, s, func(start live.Start) {
		s.send(subscribedFrame(c.id, c.channel, start, c.from != nil))
	})
	if refused != nil && s.ctx.Err() != nil {
		return // it is told why it ends
	}
	if refused != nil {
		s.refuse(c.id, refused)
		return
	}
	s.subscriptions = append(s.subscriptions, subscription{c.channel, one})
}

func (s *socket) unsubscribe(c command) {
	i := s.subscribed(c.channel)
	if i < 0 {
		s.refuse(c.id, refuse(http.StatusNotFound, codeNotFound, "not subscribed to "+clipped(c.channel)))
		return
	}
	s.subscriptions[i].Close()
	s.subscriptions = slices.Delete(s.subscriptions, i, i+1)
	s.send(unsubscribedFrame(c.id, c.channel))
}

// subscribed is the place of a subscription, -1 where there is none.
func (s *socket) subscribed(channel string) int {
	return slices.IndexFunc(s.subscriptions, func(one subscription) bool { return one.channel == channel })
}
