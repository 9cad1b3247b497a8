package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// A feed reads a stream in order, from a sequence on, without gap or repeat.
//
// It has a consumer of its own that acknowledges nothing and is made anew, at
// the message that follows the last one read, whenever it is gone, is silent,
// or has lost a message. It keeps at most one pull open, so what it holds is
// bounded by that pull's size. One goroutine uses it at a time.
type feed struct {
	b      *Bus
	stream string
	filter string
	next   uint64 // the first sequence that is wanted

	consumer  string // empty: to be made
	inbox     string
	in        chan *nats.Msg
	sub       *nats.Subscription
	lost      <-chan struct{} // closed when the connection was made anew
	delivered uint64          // the consumer's own count
	pulls     uint64
	pending   uint64 // how many messages followed the last one read
	pull      pull
	most      int  // bytes of a pull
	large     bool // the next message is larger than a pull's usual size
	heard     time.Time
}

// A pull is a request for messages, what is left of it, and where its status
// arrives.
type pull struct {
	messages, bytes int
	reply           string
}

const (
	pullMessages = 1024
	pullBytes    = 1 << 20
	// readBytes bounds what a reader takes at once.
	readBytes = 4 << 20
	// ingestBytes is less, because each partition reads for itself.
	ingestBytes = 256 << 10
	// pullLarge takes any single message that the server accepts.
	pullLarge     = 2 * maxPayload
	pullExpires   = 2 * time.Minute
	pullHeartbeat = 15 * time.Second
	inactive      = time.Minute
)

func (b *Bus) feed(stream, filter string, after uint64) *feed {
	return &feed{b: b, stream: stream, filter: filter, next: after + 1, most: pullBytes}
}

// fetch blocks for one message, at most wait (0: for ever), then takes what is
// there at once until max messages or maxBytes are reached. It returns nothing
// where the wait was over first. Each message's data is its own.
func (f *feed) fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]stored, error) {
	var over <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		over = t.C
	}
	silence := time.NewTimer(2 * pullHeartbeat)
	defer silence.Stop()
	var list []stored
	bytes := 0
	take := func(m *nats.Msg) {
		if got := f.receive(m); got != nil {
			list = append(list, *got)
			bytes += len(got.data)
		}
	}
	for len(list) == 0 {
		if err := f.prepare(ctx); err != nil {
			return nil, err
		}
		select {
		case m := <-f.in:
			take(m)
		case <-f.lost:
			f.drop()
		case <-silence.C:
			if time.Since(f.heard) >= 2*pullHeartbeat {
				f.drop()
			}
			silence.Reset(2 * pullHeartbeat)
		case <-over:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	for len(list) < maxMessages && bytes < maxBytes {
		select {
		case m := <-f.in:
			take(m)
			continue
		default:
		}
		break
	}
	return list, nil
}

// rest reads what the stream holds at the time of the call, and returns.
func (f *feed) rest(ctx context.Context, each func(stored) error) error {
	defer f.close()
	if err := f.prepare(ctx); err != nil {
		return err
	}
	for f.pending > 0 {
		list, err := f.fetch(ctx, pullMessages, pullBytes, time.Second)
		if err != nil {
			return err
		}
		if len(list) == 0 { // what was pending is gone, or the consumer is
			f.drop()
			if err := f.prepare(ctx); err != nil {
				return err
			}
		}
		for _, m := range list {
			if err := each(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// close lets go of the consumer.
func (f *feed) close() {
	if f.consumer == "" {
		return
	}
	name := f.consumer
	f.drop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := f.b.js.DeleteConsumer(ctx, f.stream, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		f.b.log.Debug("a consumer is left to expire", "stream", f.stream, "error", err)
	}
}

// drop forgets the consumer; the next prepare makes another.
func (f *feed) drop() {
	if f.consumer == "" {
		return
	}
	if err := f.sub.Unsubscribe(); err != nil {
		f.b.log.Debug("unsubscribe", "stream", f.stream, "error", err)
	}
	f.consumer, f.pull = "", pull{}
	for len(f.in) > 0 { // what waited is read again through the next one
		<-f.in
	}
}

// prepare makes sure that there are a consumer and an open pull.
func (f *feed) prepare(ctx context.Context) error {
	if f.consumer == "" {
		if err := retry(ctx, func() error { return f.create(ctx) }); err != nil {
			return fmt.Errorf("read %s: %w", f.stream, err)
		}
	}
	if f.pull.messages > 0 || len(f.in) > 0 {
		return nil
	}
	f.pull = pull{messages: pullMessages, bytes: f.most}
	if f.large {
		f.pull = pull{messages: 1, bytes: pullLarge}
	}
	request, err := json.Marshal(map[string]any{
		"batch": f.pull.messages, "max_bytes": f.pull.bytes,
		"expires": pullExpires.Nanoseconds(), "idle_heartbeat": pullHeartbeat.Nanoseconds(),
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", f.stream, err)
	}
	f.heard = time.Now()
	f.pulls++
	f.pull.reply = f.inbox + strconv.FormatUint(f.pulls, 36)
	subject := "$JS.API.CONSUMER.MSG.NEXT." + f.stream + "." + f.consumer
	if err := f.b.reading.PublishRequest(subject, f.pull.reply, request); err != nil {
		return fmt.Errorf("read %s: %w: %w", f.stream, ErrUnavailable, err)
	}
	return nil
}

func (f *feed) create(ctx context.Context) error {
	if f.b.reading.IsClosed() {
		return errClosed
	}
	f.lost = f.b.reconnected()
	inbox := f.b.reading.NewInbox() + "."
	in := make(chan *nats.Msg, 2*pullMessages) // a pull, heartbeats and statuses
	sub, err := f.b.reading.ChanSubscribe(inbox+"*", in)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	config := jetstream.ConsumerConfig{
		Name: nuid.Next(), AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1,
		InactiveThreshold: inactive, MaxWaiting: 4, FilterSubject: f.filter,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(f.next, 1),
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	consumer, err := f.b.js.CreateConsumer(ctx, f.stream, config)
	if err != nil {
		if e := sub.Unsubscribe(); e != nil {
			err = errors.Join(err, e)
		}
		return fmt.Errorf("%w: create a consumer: %w", ErrUnavailable, err)
	}
	f.in, f.sub, f.inbox, f.consumer = in, sub, inbox, config.Name
	f.delivered, f.pending, f.pull, f.heard = 0, consumer.CachedInfo().NumPending, pull{}, time.Now()
	return nil
}

// receive takes one message off the subscription: nil where it was none of the
// stream, or one that was read before.
func (f *feed) receive(m *nats.Msg) *stored {
	f.heard = time.Now()
	if status := m.Header.Get("Status"); status != "" && len(m.Data) == 0 && m.Reply == "" {
		if m.Subject == f.pull.reply || status == "503" { // else of a pull that was used up
			f.status(status, m.Header.Get("Description"))
		}
		return nil
	}
	meta, err := m.Metadata()
	f.delivered++
	if err != nil || meta.Sequence.Consumer != f.delivered {
		f.drop()
		return nil
	}
	f.large = false
	f.pull.messages--
	f.pull.bytes -= m.Size()
	if f.pull.bytes <= 0 {
		f.pull.messages = 0
	}
	f.pending = meta.NumPending
	if meta.Sequence.Stream < f.next {
		return nil
	}
	f.next = meta.Sequence.Stream + 1
	return &stored{seq: meta.Sequence.Stream, subject: m.Subject, header: m.Header, data: m.Data, time: meta.Timestamp}
}

// status acts on what the server says about the open pull.
func (f *feed) status(status, description string) {
	switch {
	case status == "100":
	case status == "409" && description == "Message Size Exceeds MaxBytes":
		f.large = f.pull.messages == pullMessages
		f.pull = pull{}
	case status == "404", status == "408", status == "409" && description == "Batch Completed":
		f.pull = pull{}
	default: // the consumer is deleted, moved, or unknown
		f.drop()
	}
}
