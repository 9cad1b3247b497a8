package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// EventsOf calls each with the events that EVENTS keeps of a partition at the time
// of the call, in order. Unlike a reader it passes nothing over.
func (b *Bus) EventsOf(ctx context.Context, partition int, each func(StoredEvent) error) error {
	err := b.feed(streamEvents, subjectEvents(partition), 0).rest(ctx, func(m stored) error {
		e, err := storedEvent(m)
		if err != nil {
			return err
		}
		return each(e)
	})
	if err != nil {
		return fmt.Errorf("read the events of partition %d: %w", partition, err)
	}
	return nil
}

// EraseEvents overwrites events in the files of EVENTS and takes them out. That one
// is gone already is no error. It returns when this is durable, where the bus makes
// anything durable; where it fails some are gone, and it can be done again.
//
// An event whose commit is still kept comes back when its partition is taken over:
// see [Bus.FirstCommit].
func (b *Bus) EraseEvents(ctx context.Context, sequences []uint64) error {
	return b.erase(ctx, streamEvents, sequences)
}

// EraseDeadLetters is EraseEvents for dead letters.
func (b *Bus) EraseDeadLetters(ctx context.Context, sequences []uint64) error {
	return b.erase(ctx, streamDeadLetters, sequences)
}

// EraseRuns is EraseEvents for the entries of flow runs, by their revisions: what a
// run's earlier entries were stays in the files until the server writes these anew.
func (b *Bus) EraseRuns(ctx context.Context, revisions []uint64) error {
	defer b.runs.changes.Add(1)
	return b.erase(ctx, streamFlows, revisions)
}

const (
	// eraseAtOnce is how many erasures are on their way at a time: the server does
	// one after another, and others have to get their turn.
	eraseAtOnce = 64
	// codeNoMessage refuses to delete what is not there.
	codeNoMessage = 10043
)

func (b *Bus) erase(ctx context.Context, stream string, sequences []uint64) error {
	for portion := range slices.Chunk(sequences, eraseAtOnce) {
		todo := portion
		err := retry(ctx, func() error {
			list := make([]*exchange, len(todo))
			for i, seq := range todo {
				request, err := json.Marshal(map[string]any{"seq": seq})
				if err != nil {
					return err
				}
				list[i] = &exchange{subject: "$JS.API.STREAM.MSG.DELETE." + stream, data: request}
			}
			b.ask.do(ctx, manageTimeout, list)
			var left []uint64
			var failed error
			for i, x := range list {
				err := x.erased()
				switch {
				case err == nil || refusedWith(err, codeNoMessage):
				case transport(err):
					left, failed = append(left, todo[i]), err
				default:
					return err
				}
			}
			todo = left
			return failed
		})
		if err != nil {
			return fmt.Errorf("erase messages of %s: %w", stream, err)
		}
	}
	if b.sync == nil || len(sequences) == 0 {
		return nil
	}
	if err := b.sync.check(b.sync.covered[stream].all()); err != nil {
		return fmt.Errorf("make the erasure in %s durable: %w", stream, err)
	}
	return nil
}

// erased reads the answer to a request to delete a message.
func (x *exchange) erased() error {
	if x.err != nil {
		return x.err
	}
	var reply struct {
		Error *refusedError `json:"error"`
	}
	if err := json.Unmarshal(x.reply.Data, &reply); err != nil {
		return fmt.Errorf("answer to a deletion: %w", err)
	}
	if reply.Error != nil {
		return reply.Error
	}
	return nil
}

// FirstCommit returns the sequence of the first commit that is kept of a partition,
// 0 where there is none: what earlier ones held is done for good, and no take-over
// repeats it.
func (b *Bus) FirstCommit(ctx context.Context, partition int) (seq uint64, err error) {
	list, err := b.get(ctx, streamCommits, 1, func(int) (string, any) {
		return "", map[string]any{"next_by_subj": subjectCommit(partition), "seq": 1}
	})
	if err != nil {
		return 0, fmt.Errorf("first commit of partition %d: %w", partition, err)
	}
	return list[0].seq, nil
}

// EventsEnd is the sequence that the last message of EVENTS was given, whether the
// stream still keeps it or not.
func (b *Bus) EventsEnd(ctx context.Context) (uint64, error) {
	state, err := b.state(ctx, streamEvents)
	return state.LastSeq, err
}

// Jobs calls each with the jobs whose key has a prefix and that were put after a
// sequence, as they stand, and returns the sequence to go on after.
func (b *Bus) Jobs(ctx context.Context, prefix string, after uint64, each func(key string, data []byte, revision uint64) error) (last uint64, err error) {
	last = after
	err = b.feed(streamJobState, prefixJobState+">", after).rest(ctx, func(m stored) error {
		key, err := decodeToken(strings.TrimPrefix(m.subject, prefixJobState))
		if err != nil {
			return err
		}
		last = m.seq
		if !strings.HasPrefix(key, prefix) || m.deleted() {
			return nil
		}
		return each(key, m.data, m.seq)
	})
	if err != nil {
		return last, fmt.Errorf("read the jobs of %s: %w", strings.TrimSuffix(prefix, "/"), err)
	}
	return last, nil
}
