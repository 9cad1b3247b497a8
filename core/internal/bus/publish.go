package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The headers that JetStream acts on.
const (
	headerExpect    = "Nats-Expected-Last-Subject-Sequence"
	headerTTL       = "Nats-TTL"
	headerRollup    = "Nats-Rollup"
	headerOperation = "KV-Operation"
)

// The codes of JetStream's errors that this package decides by.
const (
	codeWrongLastSequence = 10071
	codeNoResources       = 10023
	codeStoreFailed       = 10077
	codeNotFound          = 10037
)

// A refusedError is an acknowledgement that says no.
type refusedError struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (r *refusedError) Error() string { return fmt.Sprintf("%s (%d)", r.Description, r.Code) }

func refusedWith(err error, code int) bool {
	var r *refusedError
	return errors.As(err, &r) && r.Code == code
}

// transport is true for errors after which it is unknown whether the message
// was stored, or known that it was not because nobody answers.
func transport(err error) bool { return errors.Is(err, ErrNoAck) || errors.Is(err, ErrUnavailable) }

// acknowledged returns the sequence that the stream gave the message.
func (x *exchange) acknowledged() (seq uint64, err error) {
	if x.err != nil {
		return 0, x.err
	}
	var ack struct {
		Seq   uint64        `json:"seq"`
		Error *refusedError `json:"error"`
	}
	if seq, ok := quickAck(x.reply.Data); ok {
		return seq, nil
	}
	if err := json.Unmarshal(x.reply.Data, &ack); err != nil {
		return 0, fmt.Errorf("acknowledgement of %s: %w", x.subject, err)
	}
	if ack.Error != nil {
		return 0, ack.Error
	}
	return ack.Seq, nil
}

// quickAck takes the usual form, {"stream":"NAME","seq":N}.
func quickAck(data []byte) (seq uint64, ok bool) {
	const head, middle = `{"stream":"`, `","seq":`
	if len(data) < len(head) || string(data[:len(head)]) != head {
		return 0, false
	}
	i := len(head)
	for i < len(data) && data[i] != '"' {
		i++
	}
	if len(data) < i+len(middle) || string(data[i:i+len(middle)]) != middle {
		return 0, false
	}
	i += len(middle)
	start := i
	for i < len(data) && '0' <= data[i] && data[i] <= '9' {
		i++
	}
	if i == start || i == len(data) || data[i] != '}' {
		return 0, false
	}
	seq, err := strconv.ParseUint(string(data[start:i]), 10, 64)
	return seq, err == nil
}

func expecting(seq uint64) []field {
	return []field{{headerExpect, strconv.FormatUint(seq, 10)}}
}

const (
	// publishTimeout is how long an acknowledgement of an internal message may
	// take before its connection is given up.
	publishTimeout = 5 * time.Second
	retryFirst     = 20 * time.Millisecond
	retryMost      = time.Second
)

// retry calls f until it returns something else than a transport error or the
// context ends.
func retry(ctx context.Context, f func() error) error {
	wait := retryFirst
	for {
		err := f()
		if err == nil || !transport(err) || errors.Is(err, errClosed) {
			return err
		}
		if !sleep(ctx, wait) {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		wait = min(2*wait, retryMost)
	}
}

// sleep returns false where the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// store publishes one message and returns its sequence, trying again where no
// answer comes: the message may be stored twice, unless its header says what it
// expects.
func (b *Bus) store(ctx context.Context, l *line, stream, subject string, header []field, data []byte) (seq uint64, err error) {
	err = retry(ctx, func() error {
		x := exchange{subject: subject, header: header, data: data}
		l.do(ctx, publishTimeout, []*exchange{&x})
		seq, err = x.acknowledged()
		b.watch.wrote(stream, err)
		return err
	})
	return seq, err
}
