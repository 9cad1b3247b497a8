package bus

import (
	"context"
	"errors"
	"fmt"
)

// An ordered is a list of messages to publish, in order in each partition.
type ordered struct {
	stream    string
	n         int
	partition func(i int) int
	message   func(i int) *exchange
	// stored, where given, is asked before messages of a partition are tried
	// again, and returns which of them the stream has after all.
	stored func(ctx context.Context, partition int) (func(i int) bool, error)
	// acknowledged, where given, is told each message's sequence.
	acknowledged func(i int, seq uint64)
}

// inOrder publishes until all is acknowledged or the context ends. What follows
// a failed message in its partition is published again behind it.
func (b *Bus) inOrder(ctx context.Context, o ordered) error {
	todo := make([]int, o.n)
	for i := range todo {
		todo[i] = i
	}
	wait := retryFirst
	for len(todo) > 0 {
		now, later := todo, []int(nil)
		if b.options.Replicas > 1 || o.stream == streamIngest && b.watch.nearlyFull() {
			now, later = firstOfEach(todo, o.partition)
		}
		failed, why, err := b.publishOnce(ctx, o, now)
		if err != nil {
			return err
		}
		if len(failed) == 0 {
			todo = later
			continue
		}
		if errors.Is(why, errClosed) {
			return why
		}
		if !sleep(ctx, wait) {
			return fmt.Errorf("%w: %w", context.Cause(ctx), why)
		}
		wait = min(2*wait, retryMost)
		if failed, err = o.missing(ctx, failed); err != nil {
			return err
		}
		todo = append(failed, later...)
	}
	return nil
}

// firstOfEach takes the first message of each partition, where one message may
// fail and the next be stored: in a cluster, whose servers pass messages on to
// a leader that may change, and in a stream that may be full for a large one
// and have room for a small one.
func firstOfEach(todo []int, partition func(int) int) (first, rest []int) {
	taken := map[int]bool{}
	for _, i := range todo {
		if p := partition(i); !taken[p] {
			taken[p] = true
			first = append(first, i)
		} else {
			rest = append(rest, i)
		}
	}
	return first, rest
}

// publishOnce returns the messages to publish again, those behind a failed one
// of their partition included, and why; err is what trying again cannot mend.
func (b *Bus) publishOnce(ctx context.Context, o ordered, todo []int) (again []int, why, err error) {
	list := make([]*exchange, len(todo))
	for k, i := range todo {
		list[k] = o.message(i)
	}
	b.effects.do(ctx, publishTimeout, list)
	failed := map[int]bool{}
	for k, i := range todo {
		seq, err := list[k].acknowledged()
		b.watch.wrote(o.stream, err)
		if err == nil && o.acknowledged != nil {
			o.acknowledged(i, seq)
		}
		if err == nil && o.stream == streamIngest {
			b.watch.added(len(list[k].data))
		}
		if err != nil && !transport(err) && !refused(err) {
			return nil, nil, err
		}
		if p := o.partition(i); err != nil || failed[p] {
			failed[p] = true
			again = append(again, i)
			if why == nil {
				why = err
			}
		}
	}
	return again, why, nil
}

// missing leaves out what the stream has.
func (o ordered) missing(ctx context.Context, failed []int) (left []int, err error) {
	if o.stored == nil {
		return failed, nil
	}
	has := map[int]func(int) bool{}
	for _, i := range failed {
		p := o.partition(i)
		if has[p] == nil {
			if has[p], err = o.stored(ctx, p); err != nil {
				return nil, err
			}
		}
		if !has[p](i) {
			left = append(left, i)
		}
	}
	return left, nil
}

// refused is true where the server said no: for want of room, or while a store
// is broken. That may pass.
func refused(err error) bool {
	var r *refusedError
	return errors.As(err, &r)
}
