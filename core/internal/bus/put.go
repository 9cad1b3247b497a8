package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// A conditionalPut is a message that is stored where its subject is at the
// expected sequence.
type conditionalPut struct {
	subject string
	header  []field
	data    []byte
	expect  uint64 // the sequence of the subject's last message, 0: it has none
}

// putAll publishes messages, each provided that its subject is where it is
// expected, all on their way at once. A conflict with the very same message is
// none where an earlier try had no answer: it is that one.
func (b *Bus) putAll(ctx context.Context, l *line, stream string, puts []conditionalPut) ([]PutResult, error) {
	results := make([]PutResult, len(puts))
	todo := make([]int, len(puts))
	for i := range todo {
		todo[i] = i
	}
	wait := retryFirst
	for again := false; ; again = true {
		list := make([]*exchange, len(todo))
		for k, i := range todo {
			header := append(expecting(puts[i].expect), puts[i].header...)
			list[k] = &exchange{subject: puts[i].subject, header: header, data: puts[i].data}
		}
		l.do(ctx, publishTimeout, list)
		var left []int
		var why error
		for k, i := range todo {
			seq, err := list[k].acknowledged()
			b.watch.wrote(stream, err)
			switch {
			case err == nil:
				results[i] = PutResult{Revision: seq}
			case refusedWith(err, codeWrongLastSequence):
				results[i] = PutResult{Conflict: true}
				if !again {
					continue
				}
				m, err := b.last(ctx, stream, puts[i].subject)
				if err != nil && !errors.Is(err, ErrNotFound) {
					return nil, err
				}
				if err == nil && m.seq > puts[i].expect && bytes.Equal(m.data, puts[i].data) {
					results[i] = PutResult{Revision: m.seq}
				}
			case transport(err) || refused(err):
				left, why = append(left, i), err
			default:
				return nil, err
			}
		}
		if len(left) == 0 {
			return results, nil
		}
		if errors.Is(why, errClosed) {
			return nil, why
		}
		if !sleep(ctx, wait) {
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), why)
		}
		wait = min(2*wait, retryMost)
		todo = left
	}
}
