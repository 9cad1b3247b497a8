package bus

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// Replies takes the answers to callers who wait on this node: what is sent to
// prefix + token is given to the handler. The handler is called by one
// goroutine and must not block; stop ends that.
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
	return prefix, func() {
		if err := sub.Unsubscribe(); err != nil {
			b.log.Debug("unsubscribe", "error", err)
		}
	}, nil
}

// Respond answers a caller who waits on any node. The answer is on its way
// soon; nothing tells whether it arrives.
func (b *Bus) Respond(subject string, data []byte) error {
	if err := b.replies.Publish(subject, data); err != nil {
		return fmt.Errorf("respond: %w: %w", ErrUnavailable, err)
	}
	return nil
}
