package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// An Entry is what a caller appends to one partition.
type Entry struct {
	Partition int
	Commands  []byte // one or more encoded commands
}

// Append stores the entries and returns when they are durable as the durability
// promises, else an *AppendError that says which are not known to be.
//
// Those that arrive while a group is being stored make up the next group, so
// that many callers share one fsync. In a partition entries keep their order,
// those of one call and those of one call after another: where an entry fails,
// those behind it in its group are not stored either. An entry without an
// acknowledgement within 800 ms fails with ErrNoAck; it may be stored all the
// same. After an error the bytes of the entries must not be changed.
func (b *Bus) Append(ctx context.Context, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	for i, e := range entries {
		if e.Partition < 0 || e.Partition >= b.partitions {
			return &AppendError{Failed: map[int]error{i: fmt.Errorf("partition %d of %d", e.Partition, b.partitions)}}
		}
	}
	return b.appender.append(ctx, entries)
}

const (
	// appendTimeout is when a caller of Append gives up.
	appendTimeout = 800 * time.Millisecond
	// groupWait is how long a group gathers while callers queue up.
	groupWait = 200 * time.Microsecond
	// groupBytes bounds what one message holds of several entries.
	groupBytes = 512 << 10
	// groupMost bounds a group, queueMost what waits for the next ones.
	groupMost = 8 << 20
	queueMost = 64 << 20
)

// An appender gathers what arrives into groups and stores one at a time.
type appender struct {
	b       *Bus
	timeout time.Duration
	wake    chan struct{}

	mu     sync.Mutex
	queue  []*appendCall
	bytes  int
	closed bool
	ended  chan struct{}
	cancel context.CancelFunc

	scratch []byte // of the goroutine that stores
}

type appendCall struct {
	entries []Entry
	bytes   int
	arrived time.Time
	failed  map[int]error
	done    chan struct{}
}

func newAppender(b *Bus) *appender {
	ctx, cancel := context.WithCancel(context.Background())
	a := &appender{b: b, timeout: appendTimeout, wake: make(chan struct{}, 1), ended: make(chan struct{}), cancel: cancel}
	go a.run(ctx)
	return a
}

// stop refuses what comes, waits for what is queued, and ends.
func (a *appender) stop(ctx context.Context) error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.signal()
	var err error
	select {
	case <-a.ended:
	case <-ctx.Done():
		err = fmt.Errorf("appends did not end: %w", context.Cause(ctx))
	}
	a.cancel()
	<-a.ended
	return err
}

func (a *appender) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *appender) append(ctx context.Context, entries []Entry) error {
	call := &appendCall{entries: entries, arrived: time.Now(), done: make(chan struct{})}
	for _, e := range entries {
		call.bytes += len(e.Commands)
	}
	a.mu.Lock()
	var refused error
	switch {
	case a.closed:
		refused = errClosed
	case a.bytes > queueMost:
		refused = fmt.Errorf("%w: too much waits to be stored", ErrUnavailable)
	default:
		a.queue = append(a.queue, call)
		a.bytes += call.bytes
	}
	a.mu.Unlock()
	if refused != nil {
		return all(entries, refused)
	}
	a.b.watch.appending()
	callers := &a.b.watch.pressure.callers
	callers.Add(1)
	defer callers.Add(-1)
	a.signal()
	timer := time.NewTimer(a.timeout)
	defer timer.Stop()
	select {
	case <-call.done:
		if len(call.failed) > 0 {
			return &AppendError{Failed: call.failed}
		}
		return nil
	case <-timer.C:
		a.b.watch.wrote(streamIngest, ErrNoAck)
		return all(entries, ErrNoAck)
	case <-ctx.Done():
		return all(entries, fmt.Errorf("%w: %w", ErrNoAck, context.Cause(ctx)))
	}
}

func all(entries []Entry, err error) error {
	failed := make(map[int]error, len(entries))
	for i := range entries {
		failed[i] = err
	}
	return &AppendError{Failed: failed}
}

func (a *appender) run(ctx context.Context) {
	defer close(a.ended)
	for {
		if a.b.sync == nil && a.b.Busy() {
			// Without an fsync to wait for, groups would be small: a message
			// costs much more than one command more in it.
			time.Sleep(groupWait)
		}
		calls, closed := a.take()
		if len(calls) > 0 {
			a.store(ctx, calls)
			continue
		}
		if closed {
			return
		}
		select {
		case <-a.wake:
		case <-ctx.Done():
			return
		}
	}
}

// take removes the calls of the next group from the queue. Those whose callers
// have given up are dropped.
func (a *appender) take() (calls []*appendCall, closed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	bytes, n := 0, 0
	now := time.Now()
	for n < len(a.queue) && (bytes == 0 || bytes+a.queue[n].bytes <= groupMost) {
		call := a.queue[n]
		n++
		a.bytes -= call.bytes
		if now.Sub(call.arrived) < a.timeout {
			bytes += call.bytes
			calls = append(calls, call)
		}
	}
	left := copy(a.queue, a.queue[n:])
	clear(a.queue[left:])
	a.queue = a.queue[:left]
	return calls, a.closed
}

// A place is an entry of a call.
type place struct {
	call  *appendCall
	index int
}

func (p place) commands() []byte { return p.call.entries[p.index].Commands }

// store stores a group and answers its callers.
func (a *appender) store(ctx context.Context, calls []*appendCall) {
	start := time.Now()
	byPartition := make([][]place, a.b.partitions)
	for _, call := range calls {
		for i, e := range call.entries {
			byPartition[e.Partition] = append(byPartition[e.Partition], place{call, i})
		}
	}
	deadline := max(a.timeout-start.Sub(calls[0].arrived), 50*time.Millisecond)
	stored := false
	for more := true; more; {
		// One message a partition at a time: the next one must not be stored
		// where this one was not.
		more = false
		var messages []*exchange
		var parts [][]place
		a.scratch = a.scratch[:0]
		for p, places := range byPartition {
			if len(places) == 0 {
				continue
			}
			data, n := a.message(places)
			messages = append(messages, &exchange{subject: subjectIngest(p), data: data})
			parts = append(parts, places[:n])
			byPartition[p] = places[n:]
			more = more || len(places) > n
		}
		a.b.appends.do(ctx, deadline-time.Since(start), messages)
		for i, x := range messages {
			_, err := x.acknowledged()
			err = ingestError(err)
			a.b.watch.wrote(streamIngest, err)
			if err == nil {
				stored = true
				a.b.watch.added(len(x.data))
				continue
			}
			p := parts[i][0].call.entries[parts[i][0].index].Partition
			for _, place := range append(parts[i], byPartition[p]...) {
				place.call.fail(place.index, err)
			}
			byPartition[p] = nil
		}
	}
	if stored && a.b.sync != nil {
		if err := a.b.sync.ingest(); err != nil {
			for _, call := range calls {
				for i := range call.entries {
					call.fail(i, err)
				}
			}
		}
	}
	a.b.metrics.group(len(calls), time.Since(start))
	for _, call := range calls {
		close(call.done)
	}
}

// message joins as many entries as fit one message, at least one.
func (a *appender) message(places []place) (data []byte, n int) {
	size := len(places[0].commands())
	for n = 1; n < len(places); n++ {
		more := len(places[n].commands())
		if size+more > groupBytes {
			break
		}
		size += more
	}
	if n == 1 {
		return places[0].commands(), 1
	}
	start := len(a.scratch)
	if cap(a.scratch)-start < size {
		// What was handed out of the old one stays as it is.
		a.scratch, start = make([]byte, 0, max(size, groupMost/8)), 0
	}
	for _, p := range places[:n] {
		a.scratch = append(a.scratch, p.commands()...)
	}
	return a.scratch[start:len(a.scratch):len(a.scratch)], n
}

func (c *appendCall) fail(index int, err error) {
	if c.failed == nil {
		c.failed = map[int]error{}
	}
	c.failed[index] = err
}

// ingestError says ErrFull where INGEST refused for want of room.
func ingestError(err error) error {
	var r *refusedError
	if !errors.As(err, &r) {
		return err
	}
	if full(r) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func full(r *refusedError) bool {
	return r.Code == codeStoreFailed && (r.Description == errNoRoom.Description || r.Description == "maximum messages exceeded")
}

// errNoRoom is how a stream refuses that has as many bytes as it may.
var errNoRoom = &refusedError{Code: codeStoreFailed, Description: "maximum bytes exceeded"}
