package bus

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// Replies takes the answers to callers who wait on this node: what is sent to
// prefix + token is given to the handler. The handler may be called by several
// goroutines at a time, must not block and must not change the data; stop ends
// that.
func (b *Bus) Replies(handler func(token string, data []byte)) (prefix string, stop func(), err error) {
	prefix = b.replies.NewInbox() + "."
	sub, err := b.replies.Subscribe(prefix+"*", func(m *nats.Msg) {
		if token, ok := strings.CutPrefix(m.Subject, prefix); ok && len(m.Header) == 0 {
			handler(token, m.Data)
		}
	})
	if err != nil {
		return "", nil, fmt.Errorf("take replies: %w: %w", ErrUnavailable, err)
	}
	if err := b.replies.Flush(); err != nil {
		return "", nil, fmt.Errorf("take replies: %w: %w", ErrUnavailable, err)
	}
	b.waiting.Store(prefix, handler)
	return prefix, func() {
		b.waiting.Delete(prefix)
		if err := sub.Unsubscribe(); err != nil {
			b.log.Debug("unsubscribe", "error", err)
		}
	}, nil
}

// Respond answers a caller who waits on any node. One on this node has the answer
// when Respond returns; to others it is on its way soon, and nothing tells whether
// it arrives. The data must not be changed afterwards.
func (b *Bus) Respond(subject string, data []byte) error {
	if end := strings.LastIndexByte(subject, '.') + 1; end > 0 {
		if handler, ok := b.waiting.Load(subject[:end]); ok {
			handler.(func(string, []byte))(subject[end:], data)
			return nil
		}
	}
	if err := b.replies.Publish(subject, data); err != nil {
		return fmt.Errorf("respond: %w: %w", ErrUnavailable, err)
	}
	return nil
}
